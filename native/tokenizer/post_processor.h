// What is done to the tokens of a text: those that the tokenizer adds around them, and offsets without spaces.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

class PostProcessor {
 public:
  explicit PostProcessor(const trainer::JsonReader& json);

  // Whether offsets leave out the spaces of a token, and if so, whether the first is of the tokenizer.
  bool trims() const { return trims_; }
  bool keeps_first_space() const { return keeps_first_space_; }

  const std::vector<std::int32_t>& before() const { return before_; }
  const std::vector<std::int32_t>& behind() const { return behind_; }

 private:
  void read_template(const trainer::JsonReader& json);

  bool trims_ = false, keeps_first_space_ = false;
  std::vector<std::int32_t> before_, behind_;
};

}  // namespace lowpeak::tokenizer
