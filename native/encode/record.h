// One line of the data: what it asks for, as lowpeak_runtime/data/record.py reads it.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/chat.h"
#include "trainer/json.h"

namespace lowpeak::encode {

struct Record {
  enum Kind { kText, kCompletion, kMessages, kCompletionMessages } kind;
  std::string prompt, text;  // kText: the text; kCompletion: both

  std::vector<tokenizer::Message> messages;
  std::vector<bool> trained;  // for each message whether the loss is taken on it

  std::string kind_in_words() const;
};

// Throws DataError for a line that is no record or not well formed, in the words of Python's, and for what only the
// computer's encoder knows.
Record read_record(const std::string& line);

}  // namespace lowpeak::encode
