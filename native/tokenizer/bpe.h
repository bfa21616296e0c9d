// Byte-pair encoding of one piece: its characters, or bytes, merged by rank.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

// A token of a piece, and how many of its bytes it takes.
struct Symbol {
  std::int32_t id;
  std::uint32_t size;
};

class Bpe {
 public:
  // `model`: that of tokenizer.json without vocabulary and merges.
  Bpe(const trainer::JsonReader& model, Vocabulary vocabulary, Merges merges);

  // Each byte of a piece is a character of GPT-2's alphabet in the vocabulary.
  void pieces_are_bytes();

  // Throws DataError for a piece with a character that has neither a token nor a way around.
  const std::vector<Symbol>& encode(std::string_view piece);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::size_t bytes() const;

 private:
  struct Word {
    std::string characters;
    std::vector<Symbol> symbols;
  };

  void symbols_of(std::string_view piece, std::vector<Symbol>& symbols) const;
  void characters_of(std::string_view piece, std::vector<Symbol>& symbols) const;
  void merge(std::vector<Symbol>& symbols) const;
  void merge_few(std::vector<Symbol>& symbols) const;
  void merge_many(std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  Merges merges_;
  bool of_bytes_ = false, byte_fallback_, fuse_unknown_, whole_words_;
  std::int32_t unknown_ = Vocabulary::kNone;
  std::int32_t byte_tokens_[256];  // of GPT-2's alphabet, or <0x..>
  std::vector<Word> words_;        // by their hash, the last of each
  Word long_word_;
};

// The character that stands for a byte in GPT-2's alphabet, in UTF-8.
const std::string& byte_character(unsigned char byte);

}  // namespace lowpeak::tokenizer
