#include "tokenizer/pre_tokenizer.h"

#include "tokenizer/config.h"
#include "tokenizer/pattern.h"

namespace lowpeak::tokenizer {
namespace {

constexpr char kOfBytes[] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// What becomes of the matches, by the names of `tokenizers`.
enum class Behavior { isolated, removed, with_previous, with_next, contiguous };

Behavior behavior_named(const std::string& name) {
  if (name == "Isolated") return Behavior::isolated;
  if (name == "Removed") return Behavior::removed;
  if (name == "MergedWithPrevious") return Behavior::with_previous;
  if (name == "MergedWithNext") return Behavior::with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  throw unsupported("the split behavior " + name);
}

// Pieces of a piece, at matches of its characters.
void split_at(const Piece& piece, const std::vector<Match>& matches, Behavior behavior, bool inverted,
              std::vector<Piece>& out) {
  struct Part {
    std::size_t start, end;
    bool is_match;
  };
  std::vector<Part> parts;
  std::size_t done = 0;
  const std::size_t size = piece.end - piece.start;
  parts.reserve(2 * matches.size() + 1);
  for (const Match& match : matches) {
    if (match.start > done) parts.push_back({done, match.start, inverted});
    parts.push_back({match.start, match.end, !inverted});
    done = match.end;
  }
  if (done < size) parts.push_back({done, size, inverted});
  const auto give = [&](std::size_t start, std::size_t end) {
    if (start < end) out.push_back({piece.text, piece.start + start, piece.start + end});
  };
  if (behavior == Behavior::isolated || behavior == Behavior::removed) {
    for (const Part& part : parts) {
      if (behavior == Behavior::isolated || !part.is_match) give(part.start, part.end);
    }
    return;
  }
  for (std::size_t i = 0; i < parts.size();) {
    std::size_t last = i;
    if (behavior == Behavior::contiguous) {
      while (last + 1 < parts.size() && parts[last + 1].is_match == parts[i].is_match) ++last;
    } else if (behavior == Behavior::with_previous) {
      if (!parts[i].is_match && i + 1 < parts.size() && parts[i + 1].is_match) ++last;
    } else if (parts[i].is_match && i + 1 < parts.size() && !parts[i + 1].is_match) {
      ++last;
    }
    give(parts[i].start, parts[last].end);
    i = last + 1;
  }
}

std::vector<Match> numbers_in(std::string_view text) {
  std::vector<Match> made;
  for (std::size_t i = 0, size; i < text.size(); i += size) {
    size = length_at(text.data() + i);
    if (is_numeric(character_at(text.data() + i))) made.push_back({i, i + size});
  }
  return made;
}

}  // namespace

PreTokenizer::PreTokenizer(const trainer::JsonReader& json) {
  for (const trainer::JsonReader& each : members_of(json, "pretokenizers")) {
    const std::string type = each.at("type").text();
    if (of_bytes_) throw unsupported("the pre-tokenizer " + type + " behind ByteLevel");
    if (type == "Split") {
      require_known(each, type, {"type", "pattern", "behavior", "invert"});
      steps_.emplace_back([pattern = Pattern(each.at("pattern")), behavior = behavior_named(each.at("behavior").text()),
                           inverted = each.at("invert").boolean()](const Piece& piece, std::vector<Piece>& out) {
        split_at(piece, pattern.matches(piece.characters()), behavior, inverted, out);
      });
    } else if (type == "Digits") {
      require_known(each, type, {"type", "individual_digits"});
      const Behavior behavior = each.at("individual_digits").boolean() ? Behavior::isolated : Behavior::contiguous;
      steps_.emplace_back([behavior](const Piece& piece, std::vector<Piece>& out) {
        split_at(piece, numbers_in(piece.characters()), behavior, false, out);
      });
    } else if (type == "ByteLevel") {
      require_known(each, type, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
      of_bytes_ = true;
      if (each.at("add_prefix_space").boolean()) {
        steps_.emplace_back([](const Piece& piece, std::vector<Piece>& out) {
          if (piece.characters().front() == ' ') {
            out.push_back(piece);
            return;
          }
          auto text = std::make_shared<Text>(*piece.text, piece.start, piece.end);
          text->prepend(" ");
          out.push_back({text, 0, text->characters().size()});
        });
      }
      if (!each.has("use_regex") || each.at("use_regex").boolean()) {
        steps_.emplace_back([regex = Regex(kOfBytes)](const Piece& piece, std::vector<Piece>& out) {
          split_at(piece, regex.matches(piece.characters()), Behavior::isolated, false, out);
        });
      }
    } else if (type == "Metaspace") {
      require_known(each, type, {"type", "replacement", "prepend_scheme", "split"});
      const std::string scheme = each.at("prepend_scheme").text();
      if (scheme != "always" && scheme != "first" && scheme != "never") {
        throw unsupported("the prepend_scheme " + scheme);
      }
      const bool splits = !each.has("split") || each.at("split").boolean();
      steps_.emplace_back(
          [mark = some_text(each, "replacement", type), scheme, splits](const Piece& piece, std::vector<Piece>& out) {
            const auto places = [](std::string_view text, const std::string& what) {
              std::vector<Match> made;
              for (std::size_t i = 0; (i = text.find(what, i)) != std::string_view::npos; i += what.size()) {
                made.push_back({i, i + what.size()});
              }
              return made;
            };
            auto text = std::make_shared<Text>(*piece.text, piece.start, piece.end);
            text->replace(places(text->characters(), " "), mark);
            const bool first = scheme == "always" || (scheme == "first" && text->place_of(0, 1).start == 0);
            if (first && text->characters().compare(0, mark.size(), mark) != 0) text->prepend(mark);
            const Piece whole{text, 0, text->characters().size()};
            if (splits) {
              split_at(whole, places(text->characters(), mark), Behavior::with_next, false, out);
            } else {
              out.push_back(whole);
            }
          });
    } else {
      throw unsupported("the pre-tokenizer " + type);
    }
  }
}

std::vector<Piece> PreTokenizer::split(std::shared_ptr<const Text> text) const {
  const std::size_t size = text->characters().size();
  std::vector<Piece> pieces{{std::move(text), 0, size}}, next;
  for (const Step& step : steps_) {
    next.clear();
    for (const Piece& piece : pieces) step(piece, next);
    pieces.swap(next);
  }
  return pieces;
}

}  // namespace lowpeak::tokenizer
