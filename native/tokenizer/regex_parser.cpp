// From a pattern to the nodes that match it.
#include <limits>

#include "tokenizer/config.h"
#include "tokenizer/regex.h"

namespace lowpeak::tokenizer {

// Nodes are made from the end of the pattern to its start: each knows what follows it. So a pattern is read into a
// tree first.
class RegexParser {
 public:
  RegexParser(const std::string& pattern, Regex& made) : pattern_(pattern), made_(made) {
    if (pattern.size() > kLongest) {
      throw unsupported("a regular expression of " + std::to_string(pattern.size()) + " bytes");
    }
    made_.nodes_.push_back({Regex::Node::kMatch});
    const Tree tree = alternatives(false);
    if (!ended()) fail("a bracket that closes nothing");
    made_.start_ = compiled(tree, 0);
  }

 private:
  struct Tree {
    enum Kind { kSet, kSequence, kEither, kAhead, kBehind } kind;
    int set = 0;
    bool inverted = false;
    std::vector<Tree> parts = {};
    int least = 1, most = 1;
    bool lazy = false, keeps = false;
  };
  static constexpr int kUnbounded = std::numeric_limits<int>::max();
  static constexpr int kMostCopies = 32;
  static constexpr int kDeepest = 100;
  static constexpr int kMostParts = 10'000;
  static constexpr std::size_t kLongest = 10'000;

  [[noreturn]] void fail(const std::string& what) const {
    throw unsupported("the regular expression " + pattern_ + " with " + what);
  }

  bool ended() const { return place_ == pattern_.size(); }
  bool at(const char* text) const { return pattern_.compare(place_, std::char_traits<char>::length(text), text) == 0; }
  bool take(const char* text) {
    if (!at(text)) return false;
    place_ += std::char_traits<char>::length(text);
    return true;
  }
  char32_t next() {
    if (ended()) fail("an end too early");
    const char32_t character = character_at(pattern_.data() + place_);
    place_ += length_at(pattern_.data() + place_);
    return character;
  }

  Tree alternatives(bool any_case) {
    Tree made{Tree::kEither};
    do {
      Tree sequence{Tree::kSequence};
      while (!ended() && !at("|") && !at(")")) sequence.parts.push_back(repeated(any_case));
      made.parts.push_back(std::move(sequence));
    } while (take("|"));
    return made;
  }

  Tree repeated(bool any_case) {
    Tree tree = atom(any_case);
    const std::size_t start = place_;
    bool counted = false;
    if (take("*")) {
      tree.least = 0, tree.most = kUnbounded;
    } else if (take("+")) {
      tree.most = kUnbounded;
    } else if (take("?")) {
      tree.least = 0;
    } else if (at("{")) {
      counted = true;
      ++place_;
      tree.least = at(",") ? 0 : number();
      tree.most = !take(",") ? tree.least : at("}") ? kUnbounded : number();
      if (!take("}") || tree.most < tree.least) fail("the repetition " + pattern_.substr(start, 8));
    } else {
      return tree;
    }
    if (take("?")) tree.lazy = true;
    if (take("+")) tree.keeps = true;
    if ((counted && (tree.lazy || tree.keeps)) || (!ended() && (at("*") || at("+") || at("?") || at("{")))) {
      fail("a repetition of a repetition");
    }
    if (tree.kind == Tree::kAhead || tree.kind == Tree::kBehind) fail("a repeated look ahead or behind");
    if (tree.kind == Tree::kEither && (tree.most > kMostCopies || tree.keeps)) {
      fail("a group that is repeated without an end, or gives nothing back");
    }
    return tree;
  }

  int number() {
    int value = 0;
    const std::size_t start = place_;
    while (!ended() && pattern_[place_] >= '0' && pattern_[place_] <= '9') {
      value = value * 10 + (pattern_[place_++] - '0');
      if (value > 1000) fail("a repetition of more than 1000 times");
    }
    if (place_ == start) fail("a repetition without a number");
    return value;
  }

  Tree atom(bool any_case) {
    if (at("(")) return group(any_case);
    CharacterSet set;
    if (take("[")) {
      read_class(set, any_case);
    } else if (take(".")) {
      set.add_range('\n', '\n');
      set.invert();
    } else if (at("^") || at("$")) {
      fail("an anchor, " + pattern_.substr(place_, 1));
    } else if (take("\\")) {
      if (const auto character = escaped(set)) add(set, *character, any_case);
    } else {
      add(set, next(), any_case);
    }
    return of_set(set);
  }

  Tree of_set(CharacterSet& set) {
    set.finish();
    Tree tree{Tree::kSet};
    tree.set = static_cast<int>(made_.sets_.size());
    made_.sets_.push_back(set);
    return tree;
  }

  Tree group(bool any_case) {
    const std::size_t start = place_++;
    if (++depth_ > kDeepest) fail("more than " + std::to_string(kDeepest) + " groups in each other");
    bool ahead = false, behind = false, inverted = false;
    if (take("?")) {
      if (take("i:")) {
        any_case = true;
      } else if (take("<=") || take("<!")) {
        behind = true;
        inverted = pattern_[place_ - 1] == '!';
      } else if (take("=") || take("!")) {
        ahead = true;
        inverted = pattern_[place_ - 1] == '!';
      } else if (!take(":")) {
        fail("the group " + pattern_.substr(start, 4));
      }
    }
    Tree tree = alternatives(any_case);
    if (!take(")")) fail("a group that does not end");
    --depth_;
    tree.inverted = inverted;
    if (ahead) {
      Tree look{Tree::kAhead};
      look.inverted = inverted;
      look.parts.push_back(std::move(tree));
      return look;
    }
    if (behind) {
      const bool one = tree.parts.size() == 1 && tree.parts[0].parts.size() == 1;
      if (!one || tree.parts[0].parts[0].kind != Tree::kSet || tree.parts[0].parts[0].most != 1 ||
          tree.parts[0].parts[0].least != 1) {
        fail("a look behind of other than one character");
      }
      Tree look{Tree::kBehind};
      look.inverted = inverted;
      look.set = tree.parts[0].parts[0].set;
      return look;
    }
    return tree;
  }

  void read_class(CharacterSet& set, bool any_case) {
    if (take("^")) set.invert();
    bool first = true;
    while (first || !at("]")) {
      first = false;
      if (at("[")) fail("a class within a class");
      if (at("&&")) fail("an intersection of classes");
      std::optional<char32_t> low;
      if (take("\\")) {
        low = escaped(set);
      } else {
        low = next();
        if (*low == ']') fail("an empty class");
      }
      if (!low) continue;
      if (!at("-") || pattern_.compare(place_, 2, "-]") == 0) {
        add(set, *low, any_case);
        continue;
      }
      ++place_;
      const std::optional<char32_t> high = take("\\") ? escaped(set) : next();
      if (!high || *high < *low || any_case) fail("a range of characters that is none, or of any case");
      set.add_range(*low, *high);
    }
    ++place_;
  }

  // What follows a backslash: a character, or none if it is a class, which is added.
  std::optional<char32_t> escaped(CharacterSet& set) {
    const char32_t letter = next();
    std::optional<char32_t> character;
    switch (letter) {
      case 's': set.add_space(false); return std::nullopt;
      case 'S': set.add_space(true); return std::nullopt;
      case 'd': set.add_categories(categories_named("Nd")); return std::nullopt;
      case 'p':
      case 'P': {
        const std::size_t start = place_, end = pattern_.find('}', place_);
        if (!take("{") || end == std::string::npos) fail("a property without a name");
        const Categories found = categories_named(std::string_view(pattern_).substr(start + 1, end - start - 1));
        if (found == 0) fail("the property " + pattern_.substr(start - 2, end + 3 - start));
        set.add_categories(letter == 'p' ? found : ~found);
        place_ = end + 1;
        return std::nullopt;
      }
      case 'n': character = '\n'; break;
      case 'r': character = '\r'; break;
      case 't': character = '\t'; break;
      case 'f': character = '\f'; break;
      case 'v': character = '\v'; break;
      case 'u': character = hexadecimal(4); break;
      case 'x': character = hexadecimal(2); break;
      default:
        if ((letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z')) {
          fail(std::string("the escape \\") + static_cast<char>(letter));
        }
        character = letter;
    }
    return character;
  }

  char32_t hexadecimal(int digits) {
    const bool braces = digits == 2 && take("{");
    const std::size_t end = braces ? pattern_.find('}', place_) : place_ + static_cast<std::size_t>(digits);
    if (end > pattern_.size()) fail("a character without its number");
    const std::string text = pattern_.substr(place_, end - place_);
    if (text.empty() || text.size() > 6 || text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
      fail("a character without its number");
    }
    place_ = end + (braces ? 1 : 0);
    return static_cast<char32_t>(std::stoul(text, nullptr, 16));
  }

  void add(CharacterSet& set, char32_t c, bool any_case) {
    set.add_range(c, c);
    if (!any_case) return;
    const char32_t lower = c | 0x20;
    if (lower >= 'a' && lower <= 'z') {
      set.add_range(lower, lower), set.add_range(lower - 0x20, lower - 0x20);
      // The long s and the Kelvin sign.
      if (lower == 's') set.add_range(0x17F, 0x17F);
      if (lower == 'k') set.add_range(0x212A, 0x212A);
    } else if (c >= 0x80) {
      fail("letters beyond ASCII in any case");
    }
  }

  // -> the node that matches the tree, then goes on at `next`.
  int compiled(const Tree& tree, int next) {
    if (++compiled_ > kMostParts) fail("groups that repeat each other to more than 10,000 parts");
    if (tree.kind == Tree::kSet && (tree.least != 1 || tree.most != 1)) {
      Regex::Node node{Regex::Node::kRepeat};
      node.set = tree.set;
      node.least = tree.least, node.most = tree.most;
      node.lazy = tree.lazy, node.keeps = tree.keeps;
      return added(std::move(node), next);
    }
    if (tree.kind != Tree::kEither || (tree.least == 1 && tree.most == 1)) return once(tree, next);
    for (int copy = tree.most; copy > 0; --copy) {
      const int inside = once(tree, next);
      if (copy <= tree.least) {
        next = inside;
        continue;
      }
      Regex::Node either{Regex::Node::kEither};
      either.ways = tree.lazy ? std::vector<int>{next, inside} : std::vector<int>{inside, next};
      next = added(std::move(either), 0);
    }
    return next;
  }

  int once(const Tree& tree, int next) {
    switch (tree.kind) {
      case Tree::kSequence:
        for (std::size_t i = tree.parts.size(); i-- > 0;) next = compiled(tree.parts[i], next);
        return next;
      case Tree::kEither: {
        if (tree.parts.size() == 1) return compiled(tree.parts[0], next);
        Regex::Node node{Regex::Node::kEither};
        for (const Tree& part : tree.parts) node.ways.push_back(compiled(part, next));
        return added(std::move(node), 0);
      }
      case Tree::kAhead: {
        Regex::Node node{Regex::Node::kAhead};
        node.inverted = tree.inverted;
        node.ways.push_back(once(tree.parts[0], 0));
        return added(std::move(node), next);
      }
      default: {
        Regex::Node node{tree.kind == Tree::kSet ? Regex::Node::kSet : Regex::Node::kBehind};
        node.set = tree.set;
        node.inverted = tree.inverted;
        return added(std::move(node), next);
      }
    }
  }

  int added(Regex::Node node, int next) {
    node.next = next;
    made_.nodes_.push_back(std::move(node));
    return static_cast<int>(made_.nodes_.size()) - 1;
  }

  const std::string& pattern_;
  Regex& made_;
  std::size_t place_ = 0;
  int depth_ = 0;     // groups that have begun
  int compiled_ = 0;  // parts, each as often as it is repeated
};

Regex::Regex(const std::string& pattern) { RegexParser(pattern, *this); }

}  // namespace lowpeak::tokenizer
