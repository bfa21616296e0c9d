// How a text is split into pieces that are encoded by themselves: Split, Digits, ByteLevel, Metaspace.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tokenizer/text.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

// Characters [start, end) of a text.
struct Piece {
  std::shared_ptr<const Text> text;
  std::size_t start, end;

  std::string_view characters() const { return text->characters().substr(start, end - start); }
};

class PreTokenizer {
 public:
  explicit PreTokenizer(const trainer::JsonReader& json);

  std::vector<Piece> split(std::shared_ptr<const Text> text) const;

  // Whether pieces are bytes in the vocabulary's alphabet.
  bool of_bytes() const { return of_bytes_; }

 private:
  using Step = std::function<void(const Piece&, std::vector<Piece>&)>;

  std::vector<Step> steps_;
  bool of_bytes_ = false;
};

}  // namespace lowpeak::tokenizer
