// Regular expressions as tokenizers have them, matched by backtracking: alternatives in their order, the first that
// leads to a match wins.
//
//     (?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace lowpeak::tokenizer {

// A class of characters: [^\s\p{L}a-z].
class CharacterSet {
 public:
  void add_range(char32_t first, char32_t last);
  void add_categories(Categories categories) { categories_ |= categories; }
  void add_space(bool inverted) { (inverted ? no_space_ : space_) = true; }
  void invert() { inverted_ = true; }
  void finish();  // after the last change

  bool has(char32_t character) const { return character < 0x80 ? ascii_[character] : evaluated(character); }

 private:
  bool evaluated(char32_t character) const;

  std::bitset<0x80> ascii_;
  std::vector<std::pair<char32_t, char32_t>> ranges_;
  Categories categories_ = 0;
  bool space_ = false, no_space_ = false, inverted_ = false;
};

struct Match {
  std::size_t start, end;
};

class Regex {
 public:
  // Throws DataError naming the part of the pattern that is not supported.
  explicit Regex(const std::string& pattern);

  // All matches from left to right that are not empty, in UTF-8. Throws DataError for a pattern that takes far more
  // steps than the text has bytes, or more than the stack has room for.
  std::vector<Match> matches(std::string_view text) const;

 private:
  friend class RegexParser;

  struct Node {
    enum Kind { kMatch, kSet, kRepeat, kEither, kAhead, kBehind } kind;
    int next = 0;
    int set = 0;                       // kSet, kRepeat, kBehind
    int least = 0, most = 0;           // kRepeat
    bool lazy = false, keeps = false;  // kRepeat; keeps: gives nothing back
    bool inverted = false;             // kAhead, kBehind
    std::vector<int> ways = {};        // kEither; kAhead: the one
  };

  // What is left of what a text may cost.
  struct Effort {
    std::size_t steps;
    int depth = 0;  // of alternatives that are still open
  };

  std::optional<Match> find(std::string_view text, std::size_t start, Effort& effort) const;
  std::optional<std::size_t> match(int node, std::string_view text, std::size_t place, Effort& effort) const;
  std::size_t repeated(const Node& node, std::string_view text, std::size_t place, int most, int& count,
                       Effort& effort) const;

  std::vector<CharacterSet> sets_;
  std::vector<Node> nodes_;
  int start_ = 0;
};

}  // namespace lowpeak::tokenizer
