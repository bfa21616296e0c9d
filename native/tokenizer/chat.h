// The model's chat template as the compiler has found it out (lowpeak_runtime/data/chat/compiled.py), in the artifact's
// chat.json: what stands before, between and after messages, and which part of it the assistant says.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lowpeak::tokenizer {

struct Message {
  std::string role, content;  // UTF-8
};

// What the assistant says in a rendered chat: bytes [start, end), of a message.
struct Turn {
  std::size_t message, start, end;
  bool ended;  // something that closes the turn follows its words
};

struct Rendered {
  std::string text;
  std::vector<Turn> turns;
};

class Chat {
 public:
  // `advice`: what else can be done with a chat that the file does not know; ends the errors that say so. Throws
  // ArtifactError for an artifact whose chat.json is missing or cannot be read.
  static Chat from_artifact(const std::string& folder, const std::string& advice);

  // A conversation as it is trained on. Throws DataError for what the file does not know, with what to do.
  Rendered rendered(const std::vector<Message>& messages) const;

  // The text that asks the model for its next answer; the last message is not the assistant's. Throws DataError.
  std::string prompt(const std::vector<Message>& messages) const;

  // That text's tokens, as Python's encoder would make them.
  std::vector<std::int64_t> ids_of(const Tokenizer& tokenizer, const std::string& prompt) const;

  // A rendered chat's tokens: without the tokenizer's own BOS where the template puts one, too.
  Encoding tokens_of(const Tokenizer& tokenizer, const std::string& text) const;

  // Of the tokenizer: what begins, ends and pads texts.
  std::optional<std::int64_t> bos, eos, pad;

  // Tokens after which the model has said all: the EOS, and what closes an answer.
  std::vector<std::int64_t> stops;

 private:
  // What words lose at an end.
  enum class Trim { nothing, newlines, blanks };

  struct Glue {
    std::string text;
    std::optional<std::size_t> begins;  // where the answer after it begins
    std::optional<std::size_t> ends;    // where the answer before it ends
    bool ended = false;
    Trim before = Trim::nothing, behind = Trim::nothing;  // of the words at each side
  };
  struct Table {
    std::size_t from_start = 0, from_end = 0;
    std::map<std::string, Glue> glue;
  };

  std::vector<const Glue*> glue_of(const Table& table, const std::vector<Message>& messages) const;
  static Trim trim_named(const std::string& name);
  static std::string words_of(const Message& message, const Glue& before, const Glue& behind);

  std::string advice_;
  std::optional<std::string> problem_;  // why chats cannot be rendered
  Table trained_, asked_;
  std::vector<std::string> watched_;  // strings in a message that change what the template does
  std::vector<std::string> begun_;    // what a prompt may have said of an answer
};

}  // namespace lowpeak::tokenizer
