// What a part of tokenizer.json looks for in a text: {"String": " "} or {"Regex": "\\s+"}.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/regex.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

class Pattern {
 public:
  explicit Pattern(const trainer::JsonReader& json);

  // All matches from left to right.
  std::vector<Match> matches(std::string_view text) const;

 private:
  std::string string_;
  std::optional<Regex> regex_;
};

}  // namespace lowpeak::tokenizer
