#include "tokenizer/regex.h"

#include "trainer/error.h"

namespace lowpeak::tokenizer {
namespace {

// Patterns of tokenizers take some ten steps a byte, and are a few alternatives deep.
constexpr std::size_t kSteps = 256;
constexpr int kDeepest = 1000;

void spend(std::size_t& steps) {
  if (steps == 0) {
    throw trainer::data_error(
        "a regular expression of tokenizer.json takes too many steps for the text: its pattern is "
        "no tokenizer's");
  }
  --steps;
}

}  // namespace

void CharacterSet::add_range(char32_t first, char32_t last) { ranges_.emplace_back(first, last); }

void CharacterSet::finish() {
  for (char32_t c = 0; c < 0x80; ++c) ascii_[c] = evaluated(c);
}

bool CharacterSet::evaluated(char32_t character) const {
  bool found = categories_ != 0 && (categories_ >> static_cast<int>(category_of(character)) & 1) != 0;
  if (!found && (space_ || no_space_)) found = is_space(character) ? space_ : no_space_;
  for (std::size_t i = 0; !found && i < ranges_.size(); ++i) {
    found = ranges_[i].first <= character && character <= ranges_[i].second;
  }
  return found != inverted_;
}

std::vector<Match> Regex::matches(std::string_view text) const {
  Effort effort{kSteps * (text.size() + 4)};
  std::vector<Match> made;
  for (auto match = find(text, 0, effort); match; match = find(text, match->end, effort)) made.push_back(*match);
  return made;
}

std::optional<Match> Regex::find(std::string_view text, std::size_t start, Effort& effort) const {
  for (std::size_t place = start; place < text.size(); place += length_at(text.data() + place)) {
    const std::optional<std::size_t> end = match(start_, text, place, effort);
    if (end && *end > place) return Match{place, *end};
  }
  return std::nullopt;
}

std::size_t Regex::repeated(const Node& node, std::string_view text, std::size_t place, int most, int& count,
                            Effort& effort) const {
  const CharacterSet& set = sets_[node.set];
  while (count < most && place < text.size() && set.has(character_at(text.data() + place))) {
    place += length_at(text.data() + place);
    ++count;
    spend(effort.steps);
  }
  return place;
}

std::optional<std::size_t> Regex::match(int index, std::string_view text, std::size_t place, Effort& effort) const {
  struct Open {
    explicit Open(Effort& effort) : effort(effort) {
      if (++effort.depth > kDeepest) {
        throw trainer::data_error("a regular expression of tokenizer.json has too many alternatives in each other");
      }
    }
    ~Open() { --effort.depth; }
    Effort& effort;
  };
  const Open open(effort);
  for (;;) {
    spend(effort.steps);
    const Node& node = nodes_[index];
    switch (node.kind) {
      case Node::kMatch: return place;
      case Node::kSet:
        if (place == text.size() || !sets_[node.set].has(character_at(text.data() + place))) return std::nullopt;
        place += length_at(text.data() + place);
        break;
      case Node::kBehind: {
        const bool found = place > 0 && sets_[node.set].has(character_at(text.data() + before(text, place)));
        if (found == node.inverted) return std::nullopt;
        break;
      }
      case Node::kAhead:
        if (match(node.ways[0], text, place, effort).has_value() == node.inverted) return std::nullopt;
        break;
      case Node::kEither: {
        for (std::size_t i = 0; i + 1 < node.ways.size(); ++i) {
          if (const auto end = match(node.ways[i], text, place, effort)) return end;
        }
        index = node.ways.back();
        continue;
      }
      case Node::kRepeat: {
        int count = 0;
        place = repeated(node, text, place, node.lazy ? node.least : node.most, count, effort);
        if (count < node.least) return std::nullopt;
        if (node.keeps) break;
        for (;;) {
          if (node.lazy ? count == node.most : count == node.least) break;
          if (const auto end = match(node.next, text, place, effort)) return end;
          if (node.lazy) {
            const int had = count;
            place = repeated(node, text, place, count + 1, count, effort);
            if (count == had) return std::nullopt;
          } else {
            place = before(text, place);
            --count;
          }
        }
        break;
      }
    }
    index = node.next;
  }
}

}  // namespace lowpeak::tokenizer
