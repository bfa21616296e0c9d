// A record -> token ids and labels: which tokens the loss is taken on, as lowpeak_runtime/data/encode.py and labels.py
// have it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "encode/record.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace lowpeak::encode {

constexpr std::int64_t kNoLoss = -100;

struct Example {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> labels;   // the ids where the loss is taken, -100 elsewhere; not shifted
  std::vector<std::string> warnings;  // what of the answers is not learned

  // Of the first `length` tokens, those that the loss is taken on; the first token has no prediction.
  std::int64_t trainable(std::size_t length) const;

  // Tokens up to the first that has a loss; 0 if none has.
  std::int64_t enough() const;
};

// Throws DataError for a record that has nothing to train on, or that the tokenizer or the chat cannot encode.
Example encoded(const Record& record, const tokenizer::Tokenizer& tokenizer, const tokenizer::Chat& chat);

}  // namespace lowpeak::encode
