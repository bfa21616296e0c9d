// What a token adds to generated text: ByteLevel, Metaspace, or Replace, ByteFallback, Fuse and Strip.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/pattern.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

class Decoder {
 public:
  // A decoder that is not known is told when it is asked for: encoding does not need it.
  explicit Decoder(const trainer::JsonReader& json);

  // Throws DataError when the file's decoder is not known.
  void require() const;

  // The bytes of a token; `first`: of the first of a text.
  std::string bytes_of(std::string_view token, bool first) const;

  // How many of these strings at the start of a text are left out.
  std::size_t leading() const { return leading_; }
  const std::string& leading_text() const { return leading_text_; }

 private:
  void read(const trainer::JsonReader& json);

  std::string problem_;
  bool bytes_ = false, fallback_ = false;
  std::string mark_;         // of Metaspace
  bool drops_mark_ = false;  // at the first token
  std::vector<std::pair<Pattern, std::string>> replacements_;
  std::size_t leading_ = 0;
  std::string leading_text_;
};

}  // namespace lowpeak::tokenizer
