// What the tokenizer asks of Unicode: characters of UTF-8 text, general categories, and composition (NFC).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lowpeak::tokenizer {

// In the order of unicode_tables.py.
enum class Category : std::uint8_t {
  Cn,
  Cc,
  Cf,
  Co,
  Ll,
  Lm,
  Lo,
  Lt,
  Lu,
  Mc,
  Me,
  Mn,
  Nd,
  Nl,
  No,
  Pc,
  Pd,
  Pe,
  Pf,
  Pi,
  Po,
  Ps,
  Sc,
  Sk,
  Sm,
  So,
  Zl,
  Zp,
  Zs,
};

// A set of categories: bit i is category i.
using Categories = std::uint32_t;

// By its name, "L" or "Lu"; 0 for an unknown one.
Categories categories_named(std::string_view name);

Category category_of(char32_t character);
bool is_space(char32_t character);    // White_Space, as \s of regular expressions
bool is_blank(char32_t character);    // as str.isspace of Python
bool is_numeric(char32_t character);  // for the pre-tokenizer Digits
bool is_word(char32_t character);     // \w

// Bytes of the character that begins there in well-formed UTF-8.
inline std::size_t length_at(const char* text) {
  const auto first = static_cast<unsigned char>(*text);
  return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

// The character that begins there in well-formed UTF-8.
char32_t character_at(const char* text);

// Where the character begins that ends before `place`.
std::size_t before(std::string_view text, std::size_t place);

// Well-formed text without blanks at its ends, as str.strip of Python.
std::string_view stripped(std::string_view text);

void append(std::string& text, char32_t character);

// Bytes of a well-formed character at the start of the text; 0 if there is none. `lacking` is set when more bytes
// could make it one.
std::size_t well_formed(std::string_view text, bool& lacking);

// The first byte that is not UTF-8; npos if the text is well-formed.
std::size_t malformed_at(std::string_view text);

// The text with U+FFFD for what is no character, as Rust's from_utf8_lossy.
std::string lossy(std::string_view text);

// A character of composed text: in place of which it stands. See native/tokenizer/text.h.
struct Change {
  char32_t character;
  int change;  // 1: beside the one before it; 0: for one character; -n: for n more
};

// Whether NFC would leave the text as it is, as far as can be told without composing it.
bool is_composed(std::string_view text);
std::vector<Change> composed(std::string_view text);

}  // namespace lowpeak::tokenizer
