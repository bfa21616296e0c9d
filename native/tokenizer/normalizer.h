// What is done to a text before it is split: NFC, Replace, Prepend.
#pragma once

#include <functional>
#include <vector>

#include "tokenizer/text.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

class Normalizer {
 public:
  explicit Normalizer(const trainer::JsonReader& json);

  void apply(Text& text) const {
    for (const auto& step : steps_) step(text);
  }

 private:
  std::vector<std::function<void(Text&)>> steps_;
};

}  // namespace lowpeak::tokenizer
