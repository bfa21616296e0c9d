#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>

namespace lowpeak::tokenizer {
namespace {

struct Decomposition {
  std::uint32_t character, first, second;  // second: 0 if there is none
  bool together;                           // whether NFC makes it of them
};

#include "tokenizer/unicode_tables.inc"

// Runs of (start << bits | value), ascending: the value of the run that the character is in.
template <std::size_t N>
std::uint32_t value_of(const std::uint32_t (&runs)[N], int bits, char32_t character) {
  const std::uint32_t key = (static_cast<std::uint32_t>(character) + 1) << bits;
  return *(std::lower_bound(std::begin(runs), std::end(runs), key) - 1) & ((1u << bits) - 1);
}

std::uint32_t combining_class(char32_t character) { return character < 0x300 ? 0 : value_of(kCombining, 8, character); }

const Decomposition* decomposition_of(char32_t character) {
  if (character < 0xC0) return nullptr;
  const auto* found = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), character,
                                       [](const Decomposition& each, char32_t c) { return each.character < c; });
  return found != std::end(kDecompositions) && found->character == character ? found : nullptr;
}

// Those that are put together, by what they are made of.
const std::vector<const Decomposition*>& compositions() {
  static const auto kSorted = [] {
    std::vector<const Decomposition*> made;
    for (const Decomposition& each : kDecompositions) {
      if (each.together) made.push_back(&each);
    }
    std::sort(made.begin(), made.end(), [](const Decomposition* one, const Decomposition* other) {
      return std::pair(one->second, one->first) < std::pair(other->second, other->first);
    });
    return made;
  }();
  return kSorted;
}

bool is_second(char32_t character) {
  const auto& all = compositions();
  const auto found = std::lower_bound(all.begin(), all.end(), character,
                                      [](const Decomposition* each, char32_t c) { return each->second < c; });
  return found != all.end() && (*found)->second == character;
}

// Hangul syllables are composed by a rule.
constexpr char32_t kSyllables = 0xAC00, kLeading = 0x1100, kVowels = 0x1161, kTrailing = 0x11A7;
constexpr char32_t kLeadingCount = 19, kVowelCount = 21, kTrailingCount = 28;
constexpr char32_t kSyllableCount = kLeadingCount * kVowelCount * kTrailingCount;

char32_t composition(char32_t first, char32_t second) {
  if (first - kLeading < kLeadingCount && second - kVowels < kVowelCount) {
    return kSyllables + ((first - kLeading) * kVowelCount + (second - kVowels)) * kTrailingCount;
  }
  if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTrailingCount == 0 && second > kTrailing &&
      second - kTrailing < kTrailingCount) {
    return first + (second - kTrailing);
  }
  const auto& all = compositions();
  const auto found = std::lower_bound(
      all.begin(), all.end(), std::pair<std::uint32_t, std::uint32_t>(second, first),
      [](const Decomposition* each, const auto& key) { return std::pair(each->second, each->first) < key; });
  return found != all.end() && (*found)->second == second && (*found)->first == first ? (*found)->character : 0;
}

void decompose(char32_t character, std::vector<char32_t>& out) {
  if (character - kSyllables < kSyllableCount) {
    const char32_t index = character - kSyllables;
    out.push_back(kLeading + index / (kVowelCount * kTrailingCount));
    out.push_back(kVowels + index % (kVowelCount * kTrailingCount) / kTrailingCount);
    if (index % kTrailingCount != 0) out.push_back(kTrailing + index % kTrailingCount);
    return;
  }
  const Decomposition* found = decomposition_of(character);
  if (found == nullptr) {
    out.push_back(character);
    return;
  }
  decompose(found->first, out);
  if (found->second != 0) decompose(found->second, out);
}

}  // namespace

Categories categories_named(std::string_view name) {
  static constexpr char kNames[] = "CnCcCfCoLlLmLoLtLuMcMeMnNdNlNoPcPdPePfPiPoPsScSkSmSoZlZpZs";
  Categories made = 0;
  for (std::size_t i = 0; 2 * i + 1 < sizeof kNames; ++i) {
    if (name.size() <= 2 && !name.empty() && std::string_view(kNames + 2 * i, name.size()) == name) made |= 1u << i;
  }
  return made;
}

Category category_of(char32_t character) {
  static const auto kAscii = [] {
    std::vector<Category> made;
    for (char32_t c = 0; c < 0x80; ++c) made.push_back(static_cast<Category>(value_of(kCategories, 5, c)));
    return made;
  }();
  return character < 0x80 ? kAscii[character] : static_cast<Category>(value_of(kCategories, 5, character));
}

bool is_space(char32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_blank(char32_t character) { return is_space(character) || (character >= 0x1C && character <= 0x1F); }

bool is_numeric(char32_t character) {
  static const Categories kNumbers = categories_named("N");
  return (kNumbers >> static_cast<int>(category_of(character)) & 1) != 0 ||
         std::binary_search(std::begin(kNumericElsewhere), std::end(kNumericElsewhere), character);
}

bool is_word(char32_t c) {
  static const Categories kLetters = categories_named("L") | categories_named("M") | categories_named("Nd") |
                                     categories_named("Nl") | categories_named("Pc");
  // Letters in circles, and the joiners, belong to words whatever their category.
  return (kLetters >> static_cast<int>(category_of(c)) & 1) != 0 || (c >= 0x24B6 && c <= 0x24E9) ||
         (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) ||
         c == 0x200C || c == 0x200D;
}

char32_t character_at(const char* text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text);
  switch (length_at(text)) {
    case 1: return bytes[0];
    case 2: return (bytes[0] & 0x1Fu) << 6 | (bytes[1] & 0x3Fu);
    case 3: return (bytes[0] & 0x0Fu) << 12 | (bytes[1] & 0x3Fu) << 6 | (bytes[2] & 0x3Fu);
    default: return (bytes[0] & 0x07u) << 18 | (bytes[1] & 0x3Fu) << 12 | (bytes[2] & 0x3Fu) << 6 | (bytes[3] & 0x3Fu);
  }
}

std::size_t before(std::string_view text, std::size_t place) {
  do --place;
  while (place > 0 && (static_cast<unsigned char>(text[place]) & 0xC0) == 0x80);
  return place;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_blank(character_at(text.data()))) text.remove_prefix(length_at(text.data()));
  while (!text.empty()) {
    const std::size_t last = before(text, text.size());
    if (!is_blank(character_at(text.data() + last))) break;
    text.remove_suffix(text.size() - last);
  }
  return text;
}

void append(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

std::size_t well_formed(std::string_view text, bool& lacking) {
  lacking = text.empty();
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;
  const std::size_t size = length_at(text.data());
  // The second byte excludes long spellings, surrogates and what is beyond U+10FFFF.
  const unsigned char least = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char most = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < size; ++i) {
    if (i == text.size()) {
      lacking = true;
      return 0;
    }
    if (byte(i) < (i == 1 ? least : 0x80) || byte(i) > (i == 1 ? most : 0xBF)) return 0;
  }
  return size;
}

std::size_t malformed_at(std::string_view text) {
  bool lacking = false;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const std::size_t size = well_formed(text.substr(i), lacking);
    if (size == 0) return i;
    i += size;
  }
  return std::string_view::npos;
}

std::string lossy(std::string_view text) {
  std::string made;
  while (!text.empty()) {
    bool lacking = false;
    std::size_t size = well_formed(text, lacking);
    if (size != 0) {
      made.append(text.substr(0, size));
    } else {
      // One for as many bytes as could begin a character.
      append(made, 0xFFFD);
      size = 1;
      while (size < text.size() && (well_formed(text.substr(0, size + 1), lacking), lacking)) ++size;
      if (well_formed(text.substr(0, 1), lacking) == 0 && !lacking) size = 1;
    }
    text.remove_prefix(size);
  }
  return made;
}

bool is_composed(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0xCC) {  // below U+0300
      i += first < 0x80 ? 1 : 2;
      continue;
    }
    const char32_t c = character_at(text.data() + i);
    const Decomposition* parts = decomposition_of(c);
    if (combining_class(c) != 0 || is_second(c) || (parts != nullptr && !parts->together) ||
        c - kVowels < kVowelCount || (c > kTrailing && c - kTrailing < kTrailingCount)) {
      return false;
    }
    i += length_at(text.data() + i);
  }
  return true;
}

std::vector<Change> composed(std::string_view text) {
  // Apart, and marks in their order.
  std::vector<Change> apart;
  std::vector<char32_t> parts;
  for (std::size_t i = 0; i < text.size(); i += length_at(text.data() + i)) {
    parts.clear();
    decompose(character_at(text.data() + i), parts);
    for (std::size_t k = 0; k < parts.size(); ++k) apart.push_back({parts[k], k == 0 ? 0 : 1});
  }
  const auto is_starter = [](const Change& each) { return combining_class(each.character) == 0; };
  for (auto first = apart.begin(); first != apart.end();) {
    const auto last = std::find_if(first, apart.end(), is_starter);
    std::stable_sort(first, last, [](const Change& one, const Change& other) {
      return combining_class(one.character) < combining_class(other.character);
    });
    first = std::find_if_not(last, apart.end(), is_starter);
  }
  // And together again.
  std::vector<Change> made;
  std::size_t starter = std::string::npos;
  std::uint32_t last_class = 0;
  for (const Change& each : apart) {
    const std::uint32_t number = combining_class(each.character);
    if (starter != std::string::npos) {
      const bool blocked = made.size() - 1 > starter && (last_class == 0 || last_class >= number);
      const char32_t together = blocked ? 0 : composition(made[starter].character, each.character);
      if (together != 0) {
        made[starter].character = together;
        made[starter].change += each.change - 1;
        continue;
      }
    }
    if (number == 0) starter = made.size();
    last_class = number;
    made.push_back(each);
  }
  return made;
}

}  // namespace lowpeak::tokenizer
