// Tokens that are found in the text as they are written, before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/normalizer.h"
#include "tokenizer/text.h"
#include "tokenizer/vocabulary.h"
#include "trainer/json.h"

namespace lowpeak::tokenizer {

// A part of a text: an added token, or what lies between (id kNone).
struct Section {
  std::int32_t id;
  std::size_t start, end;
};

class AddedTokens {
 public:
  // `json`: the list in tokenizer.json; null for none.
  AddedTokens(const trainer::JsonReader& json, const Vocabulary& vocabulary, const Normalizer& normalizer);

  std::vector<Section> in_original(std::string_view text) const { return sections(original_, text); }
  std::vector<Section> in_normalized(std::string_view text) const { return sections(normalized_, text); }

  std::int32_t find(const std::string& content) const;  // kNone if there is none
  const std::string* content(std::int64_t id) const;    // null if there is none
  bool is_special(std::int64_t id) const { return specials_.count(id) > 0; }
  std::size_t size() const { return size_; }  // one more than the largest id

 private:
  struct Token {
    std::int32_t id;
    bool single_word, left, right;
  };
  // Strings by their bytes: the children of a node are a chain of siblings.
  struct Node {
    char byte = 0;
    std::int32_t token = -1, child = -1, sibling = -1;
  };
  struct Trie {
    std::vector<Node> nodes{1};
    std::vector<Token> tokens;
    std::array<bool, 256> begins{};

    void add(const std::string& text, Token token);
    // The longest token that begins there: its index, and where it ends; -1 if there is none.
    std::int32_t longest(std::string_view text, std::size_t start, std::size_t& end) const;
  };

  static std::vector<Section> sections(const Trie& trie, std::string_view text);

  Trie original_, normalized_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_map<std::int64_t, std::string> contents_;
  std::unordered_set<std::int64_t> specials_;
  std::size_t size_ = 0;
};

}  // namespace lowpeak::tokenizer
