#include "tokenizer/vocabulary.h"

#include "trainer/error.h"

namespace lowpeak::tokenizer {
namespace {

// Half of the slots stay empty.
std::size_t slots_for(std::size_t count) {
  std::size_t slots = 2;
  while (slots < 2 * count) slots *= 2;
  return slots;
}

}  // namespace

std::size_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return static_cast<std::size_t>(hash ^ hash >> 29);
}

void Vocabulary::add(std::string_view token, std::int64_t id) {
  if (id < 0 || id >= most_ || has(id)) {
    throw trainer::artifact_error("tokenizer.json: the token " + std::string(token) + " has the id " +
                                  std::to_string(id) + (has(id) ? ", as another" : ", which is none"));
  }
  if (static_cast<std::size_t>(id) >= places_.size()) places_.resize(static_cast<std::size_t>(id) + 1);
  places_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(characters_.size()),
                                           static_cast<std::uint32_t>(token.size()), true};
  characters_ += token;
}

void Vocabulary::finish() {
  characters_.shrink_to_fit();
  places_.shrink_to_fit();
  slots_.assign(slots_for(places_.size()), kNone);
  for (std::size_t id = 0; id < places_.size(); ++id) {
    if (!places_[id].there) continue;
    const std::size_t slot = slot_of(token(static_cast<std::int64_t>(id)));
    if (slots_[slot] != kNone) {
      throw trainer::artifact_error("tokenizer.json: the token " + std::string(token(static_cast<std::int64_t>(id))) +
                                    " is there twice");
    }
    slots_[slot] = static_cast<std::int32_t>(id);
  }
}

std::size_t Vocabulary::slot_of(std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash_of(text) & mask;
  while (slots_[slot] != kNone && token(slots_[slot]) != text) slot = (slot + 1) & mask;
  return slot;
}

std::int32_t Vocabulary::find(std::string_view text) const { return slots_.empty() ? kNone : slots_[slot_of(text)]; }

bool Vocabulary::has(std::int64_t id) const {
  return id >= 0 && static_cast<std::size_t>(id) < places_.size() && places_[static_cast<std::size_t>(id)].there;
}

std::string_view Vocabulary::token(std::int64_t id) const {
  if (!has(id)) return {};
  const Place& place = places_[static_cast<std::size_t>(id)];
  return std::string_view(characters_).substr(place.start, place.size);
}

std::size_t Vocabulary::bytes() const {
  return characters_.capacity() + places_.capacity() * sizeof(Place) + slots_.capacity() * sizeof(std::int32_t);
}

void Merges::finish() {
  merges_.shrink_to_fit();
  slots_.assign(slots_for(merges_.size()), -1);
  mask_ = slots_.size() - 1;
  for (std::size_t i = 0; i < merges_.size(); ++i) {
    std::size_t slot = hash(merges_[i].left, merges_[i].right) & mask_;
    // Of two merges of the same pair the later counts, as in `tokenizers`.
    while (slots_[slot] >= 0 &&
           (merges_[slots_[slot]].left != merges_[i].left || merges_[slots_[slot]].right != merges_[i].right)) {
      slot = (slot + 1) & mask_;
    }
    slots_[slot] = static_cast<std::int32_t>(i);
  }
}

std::size_t Merges::bytes() const {
  return merges_.capacity() * sizeof(Merge) + slots_.capacity() * sizeof(std::int32_t);
}

}  // namespace lowpeak::tokenizer
