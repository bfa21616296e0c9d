// A model's tokenizer without Python: text -> token ids as Hugging Face's `tokenizers` has them, and back.
//
// It reads an artifact's tokenizer.json: BPE over bytes (GPT-2, Llama 3, Qwen, SmolLM2) and over characters with a
// fallback to bytes (Llama 2, Mistral, Gemma). What else a file can ask for is refused by its name, never passed over.
//
//     text -> added tokens | sections -> normalizer -> pre-tokenizer -> pieces -> BPE -> ids -> post-processor
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lowpeak::tokenizer {

// A token, and the bytes [start, end) of the text that it stands for, at the edges of characters. Both 0 for one that
// the tokenizer adds.
struct Token {
  std::int32_t id;
  std::uint32_t start, end;
};

struct Encoding {
  std::vector<Token> tokens;
  std::size_t before = 0, behind = 0;  // how many the tokenizer adds around the text
};

class Tokenizer {
 public:
  // Throws ArtifactError for a file that cannot be read, and DataError naming what of it is not supported.
  static Tokenizer from_file(const std::string& path);
  Tokenizer(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Token ids of a UTF-8 text. `special`: with the tokens that the tokenizer adds around it; strings in the text that
  // name special tokens are always those. One thread at a time: words are remembered. Throws DataError for text that
  // is not UTF-8, or has a character that the tokenizer would leave out.
  std::vector<std::int64_t> encode(const std::string& text, bool special) const;
  Encoding encoding(const std::string& text, bool special) const;

  std::optional<std::int64_t> id_of(const std::string& token) const;
  std::size_t size() const;     // one more than the largest id
  std::size_t longest() const;  // bytes of the longest token, as it is written
  std::size_t bytes() const;    // that vocabulary, merges and remembered words take at most

 private:
  friend class TextStream;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

// Tokens -> text, piece by piece as they come, whole characters only; special tokens are left out. The tokenizer must
// outlive it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer);

  std::string next(std::int64_t id);  // what the token adds that is complete by now
  std::string rest();                 // what is left: U+FFFD for bytes that are no character

 private:
  std::string given(std::size_t size);

  const Tokenizer& tokenizer_;
  std::string held_;     // bytes of a character that is not complete
  bool first_ = true;    // whether no token has come yet
  std::size_t leading_;  // spaces at the start that are still to be left out
};

}  // namespace lowpeak::tokenizer
