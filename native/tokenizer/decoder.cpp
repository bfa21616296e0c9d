#include "tokenizer/decoder.h"

#include <unordered_map>

#include "tokenizer/bpe.h"
#include "tokenizer/config.h"
#include "tokenizer/unicode.h"

namespace lowpeak::tokenizer {
namespace {

constexpr std::int64_t kMostStripped = 16;

// The bytes that a string of GPT-2's alphabet stands for; as it is, if it has another character.
std::string from_alphabet(std::string_view token) {
  static const auto kKnown = [] {
    std::unordered_map<char32_t, char> made;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const std::string& character = byte_character(static_cast<unsigned char>(byte));
      made[character_at(character.data())] = static_cast<char>(byte);
    }
    return made;
  }();
  std::string made;
  for (std::size_t i = 0; i < token.size(); i += length_at(token.data() + i)) {
    const auto found = kKnown.find(character_at(token.data() + i));
    if (found == kKnown.end()) return std::string(token);
    made.push_back(found->second);
  }
  return made;
}

// Throws DataError for a text far beyond those of tokens.
void replace_all(std::string& text, const std::vector<Match>& matches, const std::string& content) {
  constexpr std::size_t kMost = 1 << 20;
  if (text.size() + matches.size() * content.size() > kMost) {
    throw trainer::data_error("the decoder of tokenizer.json makes more than " + std::to_string(kMost) +
                              " bytes of a token");
  }
  std::string made;
  std::size_t done = 0;
  for (const Match& match : matches) {
    made.append(text, done, match.start - done).append(content);
    done = match.end;
  }
  text = made.append(text, done, std::string::npos);
}

int hexadecimal(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c - 'a' + 10; }

}  // namespace

Decoder::Decoder(const trainer::JsonReader& json) {
  try {
    read(json);
  } catch (const trainer::Error& error) {
    problem_ = error.what();
  }
}

void Decoder::read(const trainer::JsonReader& json) {
  bool fused = false;
  const auto members = members_of(json, "decoders");
  if (members.empty()) throw unsupported("no decoder");
  for (const trainer::JsonReader& each : members) {
    const std::string type = each.at("type").text();
    if ((type == "ByteLevel" || type == "Metaspace") && members.size() > 1) {
      throw unsupported("the decoder " + type + " beside others");
    }
    if (fused && type != "Strip") throw unsupported("the decoder " + type + " after Fuse");
    if (type == "ByteLevel") {
      bytes_ = true;
    } else if (type == "Metaspace") {
      mark_ = some_text(each, "replacement", type);
      drops_mark_ = each.at("prepend_scheme").text() != "never";
    } else if (type == "Replace" && !fallback_) {
      replacements_.emplace_back(Pattern(each.at("pattern")), each.at("content").text());
    } else if (type == "ByteFallback") {
      fallback_ = true;
    } else if (type == "Fuse") {
      fused = true;
    } else if (type == "Strip" && fused && leading_ == 0 && each.at("stop").integer() == 0) {
      const std::int64_t count = each.at("start").integer();
      if (count < 0 || count > kMostStripped) throw unsupported("a Strip of " + std::to_string(count) + " characters");
      leading_ = static_cast<std::size_t>(count);
      leading_text_ = some_text(each, "content", type);
    } else {
      throw unsupported("the decoder " + type + " in this place");
    }
  }
}

void Decoder::require() const {
  if (!problem_.empty()) throw trainer::data_error("no text can be generated: " + problem_);
}

std::string Decoder::bytes_of(std::string_view token, bool first) const {
  if (bytes_) return from_alphabet(token);
  std::string text(token);
  if (!mark_.empty()) {
    std::vector<Match> marks;
    for (std::size_t i = 0; (i = text.find(mark_, i)) != std::string::npos; i += mark_.size()) {
      marks.push_back({i, i + mark_.size()});
    }
    replace_all(text, marks, drops_mark_ && first ? "" : " ");
  }
  for (const auto& [pattern, content] : replacements_) replace_all(text, pattern.matches(text), content);
  const bool is_byte = fallback_ && text.size() == 6 && text.compare(0, 3, "<0x") == 0 && text[5] == '>' &&
                       text.find_first_not_of("0123456789abcdefABCDEF", 3) == 5;
  return is_byte ? std::string(1, static_cast<char>(hexadecimal(text[3]) * 16 + hexadecimal(text[4]))) : text;
}

}  // namespace lowpeak::tokenizer
