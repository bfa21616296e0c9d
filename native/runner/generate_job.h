// What `lowpeak-runner generate` is told. Exactly one of prompt, messages and ids is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/chat.h"

namespace lowpeak::runner {

struct GenerateJob {
  std::string artifact;                                     // the folder
  std::string work;                                         // a folder for temporary files
  std::optional<std::string> checkpoint;                    // whose adapter is used; none: the first values
  std::optional<std::string> prompt;                        // a text that is continued
  std::optional<std::vector<tokenizer::Message>> messages;  // a conversation that is answered
  std::optional<std::vector<std::int64_t>> ids;             // a prompt that has been encoded
  std::int64_t max_tokens;                                  // of the answer
  double temperature;                                       // 0: the likeliest tokens
  std::int64_t seed;
  std::optional<std::string> expect;  // the sha256 of the artifact's manifest.json; none: any

  // Throws an Error of kind ValueError for what is no such job.
  static GenerateJob from_json(const std::string& text);
};

}  // namespace lowpeak::runner
