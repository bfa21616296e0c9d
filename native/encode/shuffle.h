// The order of an epoch, that of lowpeak_runtime/data/data.py's `shuffled`: Python's generator, seeded by the words
// "<seed> <epoch>".
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lowpeak::encode {

// random.Random(words) of Python 3: MT19937, its state set by the words and their SHA-512.
class PythonRandom {
 public:
  explicit PythonRandom(const std::string& words);

  std::uint32_t below(std::uint32_t count);  // randrange(count), count > 0

 private:
  std::uint32_t next();
  void seed(const std::vector<std::uint32_t>& key);

  static constexpr std::size_t kSize = 624, kShift = 397;
  std::array<std::uint32_t, kSize> state_;
  std::size_t place_ = kSize;
};

// The numbers from 0 to count - 1, one after the other.
class Shuffle {
 public:
  Shuffle(std::uint32_t count, std::int64_t seed, std::int64_t epoch);

  bool ended() const { return left_.empty(); }
  std::uint32_t next();

 private:
  PythonRandom random_;
  std::vector<std::uint32_t> left_;
};

}  // namespace lowpeak::encode
