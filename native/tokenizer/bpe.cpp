#include "tokenizer/bpe.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <queue>

#include "tokenizer/config.h"
#include "tokenizer/unicode.h"

namespace lowpeak::tokenizer {
namespace {

constexpr std::size_t kWords = 1 << 13;
constexpr std::size_t kLongestRemembered = 64;  // bytes
constexpr std::size_t kFew = 24;                // symbols that are looked through for every merge

std::string fallback_name(unsigned char byte) {
  char name[8];
  std::snprintf(name, sizeof name, "<0x%02X>", byte);
  return name;
}

bool flag(const trainer::JsonReader& model, const char* name) {
  return model.has(name) && !model.at(name).is_null() && model.at(name).boolean();
}

void refuse_text(const trainer::JsonReader& model, const char* name) {
  if (model.has(name) && !model.at(name).optional_text().value_or("").empty()) {
    throw unsupported(std::string("\"") + name + "\" of the model");
  }
}

}  // namespace

const std::string& byte_character(unsigned char byte) {
  static const auto kAll = [] {
    std::vector<std::string> made(256);
    char32_t other = 0x100;
    for (unsigned value = 0; value < 256; ++value) {
      const bool itself = (value >= '!' && value <= '~') || (value >= 0xA1 && value <= 0xAC) || value >= 0xAE;
      append(made[value], itself ? value : other++);
    }
    return made;
  }();
  return kAll[byte];
}

Bpe::Bpe(const trainer::JsonReader& model, Vocabulary vocabulary, Merges merges)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      byte_fallback_(flag(model, "byte_fallback")),
      fuse_unknown_(flag(model, "fuse_unk")),
      whole_words_(flag(model, "ignore_merges")),
      words_(kWords) {
  require_known(model, "the model",
                {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                 "byte_fallback", "ignore_merges"});
  refuse_text(model, "continuing_subword_prefix");
  refuse_text(model, "end_of_word_suffix");
  if (model.has("dropout") && model.at("dropout").optional_number().value_or(0) != 0) {
    throw unsupported("dropout, which makes tokens by chance");
  }
  if (model.has("unk_token")) {
    if (const auto name = model.at("unk_token").optional_text()) {
      unknown_ = vocabulary_.find(*name);
      if (unknown_ == Vocabulary::kNone) throw unsupported("the unk_token " + *name + " without an entry");
    }
  }
  for (unsigned value = 0; value < 256; ++value) {
    byte_tokens_[value] = vocabulary_.find(fallback_name(static_cast<unsigned char>(value)));
  }
}

void Bpe::pieces_are_bytes() {
  of_bytes_ = true;
  for (unsigned value = 0; value < 256; ++value) {
    byte_tokens_[value] = vocabulary_.find(byte_character(static_cast<unsigned char>(value)));
  }
}

const std::vector<Symbol>& Bpe::encode(std::string_view piece) {
  Word& word = piece.size() > kLongestRemembered ? long_word_ : words_[hash_of(piece) & (kWords - 1)];
  if (word.characters != piece || word.symbols.empty()) {
    word.symbols.clear();
    word.characters = piece;
    symbols_of(piece, word.symbols);
    word.symbols.shrink_to_fit();
  }
  return word.symbols;
}

void Bpe::symbols_of(std::string_view piece, std::vector<Symbol>& symbols) const {
  if (whole_words_) {
    std::string spelled;
    if (of_bytes_) {
      for (const char byte : piece) spelled += byte_character(static_cast<unsigned char>(byte));
    }
    const std::int32_t id = vocabulary_.find(of_bytes_ ? std::string_view(spelled) : piece);
    if (id != Vocabulary::kNone) {
      symbols.push_back({id, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  symbols.reserve(piece.size());
  characters_of(piece, symbols);
  merge(symbols);
}

void Bpe::characters_of(std::string_view piece, std::vector<Symbol>& symbols) const {
  // Those that are unknown are given after the next that is known.
  std::uint32_t unknown = 0;
  const auto give_unknown = [&] {
    if (unknown > 0) symbols.push_back({unknown_, unknown});
    unknown = 0;
  };
  for (std::size_t i = 0, size; i < piece.size(); i += size) {
    size = of_bytes_ ? 1 : length_at(piece.data() + i);
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(piece[i + k]); };
    const std::int32_t id = of_bytes_ ? byte_tokens_[byte(0)] : vocabulary_.find(piece.substr(i, size));
    if (id != Vocabulary::kNone) {
      give_unknown();
      symbols.push_back({id, static_cast<std::uint32_t>(size)});
      continue;
    }
    if (byte_fallback_ && !of_bytes_) {
      bool known = true;
      for (std::size_t k = 0; k < size; ++k) known = known && byte_tokens_[byte(k)] != Vocabulary::kNone;
      for (std::size_t k = 0; known && k < size; ++k) symbols.push_back({byte_tokens_[byte(k)], 1});
      if (known) continue;
    }
    if (unknown_ == Vocabulary::kNone) {
      throw trainer::data_error("the tokenizer has no token for (a part of) " +
                                trainer::python_repr(std::string(of_bytes_ ? piece : piece.substr(i, size))) +
                                " and would leave it out: write the text without it");
    }
    if (!fuse_unknown_) give_unknown();
    unknown += static_cast<std::uint32_t>(size);
  }
  give_unknown();
}

void Bpe::merge(std::vector<Symbol>& symbols) const {
  if (symbols.size() <= kFew) {
    merge_few(symbols);
  } else {
    merge_many(symbols);
  }
}

void Bpe::merge_few(std::vector<Symbol>& symbols) const {
  std::int32_t ranks[kFew];
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) ranks[i] = merges_.rank(symbols[i].id, symbols[i + 1].id);
  while (count > 1) {
    std::size_t best = count;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (ranks[i] >= 0 && (best == count || ranks[i] < ranks[best])) best = i;
    }
    if (best == count) break;
    symbols[best] = {merges_.made(ranks[best]), symbols[best].size + symbols[best + 1].size};
    for (std::size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i - 1] = ranks[i];
    }
    --count;
    if (best > 0) ranks[best - 1] = merges_.rank(symbols[best - 1].id, symbols[best].id);
    if (best + 1 < count) ranks[best] = merges_.rank(symbols[best].id, symbols[best + 1].id);
  }
  symbols.resize(count);
}

void Bpe::merge_many(std::vector<Symbol>& symbols) const {
  // A linked list, and the possible merges by rank and place.
  struct Link {
    std::int32_t before, next;
  };
  struct Candidate {
    std::int32_t rank, place, left, right;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  const auto count = static_cast<std::int32_t>(symbols.size());
  std::vector<Link> links(symbols.size());
  std::vector<Candidate> found;
  const auto candidate = [&](std::int32_t place) -> std::optional<Candidate> {
    const std::int32_t next = links[place].next;
    if (next >= count) return std::nullopt;
    const std::int32_t rank = merges_.rank(symbols[place].id, symbols[next].id);
    if (rank < 0) return std::nullopt;
    return Candidate{rank, place, symbols[place].id, symbols[next].id};
  };
  for (std::int32_t i = 0; i < count; ++i) links[i] = {i - 1, i + 1};
  for (std::int32_t i = 0; i < count; ++i) {
    if (const auto made = candidate(i)) found.push_back(*made);
  }
  std::priority_queue<Candidate> queue({}, std::move(found));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.place];
    const std::int32_t next = links[best.place].next;
    if (left.size == 0 || next >= count || left.id != best.left || symbols[next].id != best.right) continue;
    left = {merges_.made(best.rank), left.size + symbols[next].size};
    symbols[next].size = 0;
    links[best.place].next = links[next].next;
    if (links[next].next < count) links[links[next].next].before = best.place;
    if (const auto made = candidate(best.place)) queue.push(*made);
    if (links[best.place].before >= 0) {
      if (const auto made = candidate(links[best.place].before)) queue.push(*made);
    }
  }
  symbols.erase(std::remove_if(symbols.begin(), symbols.end(), [](const Symbol& each) { return each.size == 0; }),
                symbols.end());
}

std::size_t Bpe::bytes() const {
  const std::size_t remembered = sizeof(Word) + kLongestRemembered * (1 + sizeof(Symbol));
  return vocabulary_.bytes() + merges_.bytes() + kWords * remembered;
}

}  // namespace lowpeak::tokenizer
