// Tokens by their ids and ids by their tokens, and which pairs merge: compact, for there are up to a quarter of a
// million.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lowpeak::tokenizer {

class Vocabulary {
 public:
  static constexpr std::int32_t kNone = -1;

  // Ids are below `most`: there would be no room for what lies between.
  explicit Vocabulary(std::size_t most) : most_(static_cast<std::int64_t>(most)) {}

  // Throws ArtifactError for an id that is taken or cannot be one.
  void add(std::string_view token, std::int64_t id);

  // After the last; before that nothing is found. Throws ArtifactError for a token that is there twice.
  void finish();

  std::int32_t find(std::string_view token) const;  // kNone if there is none
  std::string_view token(std::int64_t id) const;    // empty for an id that there is not
  bool has(std::int64_t id) const;
  std::size_t size() const { return places_.size(); }  // one more than the largest id
  std::size_t bytes() const;

 private:
  struct Place {
    std::uint32_t start = 0, size = 0;
    bool there = false;
  };

  std::size_t slot_of(std::string_view token) const;

  std::int64_t most_;
  std::string characters_;
  std::vector<Place> places_;
  std::vector<std::int32_t> slots_;
};

class Merges {
 public:
  struct Merge {
    std::int32_t left, right, made;
  };

  void add(Merge merge) { merges_.push_back(merge); }
  void finish();

  // Its rank: the lower, the earlier; -1 if the pair does not merge.
  std::int32_t rank(std::int32_t left, std::int32_t right) const {
    for (std::size_t slot = hash(left, right) & mask_;; slot = (slot + 1) & mask_) {
      const std::int32_t rank = slots_[slot];
      if (rank < 0 || (merges_[rank].left == left && merges_[rank].right == right)) return rank;
    }
  }
  std::int32_t made(std::int32_t rank) const { return merges_[rank].made; }
  std::size_t size() const { return merges_.size(); }
  std::size_t bytes() const;

 private:
  static std::size_t hash(std::int32_t left, std::int32_t right) {
    std::uint64_t key =
        static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    key *= 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(key ^ key >> 32);
  }

  std::vector<Merge> merges_;  // in the order of their ranks
  std::vector<std::int32_t> slots_{-1};
  std::size_t mask_ = 0;
};

std::size_t hash_of(std::string_view text);

}  // namespace lowpeak::tokenizer
