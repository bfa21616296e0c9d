#include "encode/shuffle.h"

#include <algorithm>

#include "encode/sha512.h"

namespace lowpeak::encode {

PythonRandom::PythonRandom(const std::string& words) {
  // The words and their digest are one number, the first byte its highest; the key is that number in 32 bits each, the
  // lowest first.
  std::string bytes = words;
  for (const std::uint8_t byte : sha512_of(words)) bytes.push_back(static_cast<char>(byte));
  std::vector<std::uint32_t> key((bytes.size() + 3) / 4);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(bytes[bytes.size() - 1 - i]);
    key[i / 4] |= static_cast<std::uint32_t>(byte) << (8 * (i % 4));
  }
  while (key.size() > 1 && key.back() == 0) key.pop_back();
  seed(key);
}

void PythonRandom::seed(const std::vector<std::uint32_t>& key) {
  state_[0] = 19650218u;
  for (std::uint32_t i = 1; i < kSize; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ state_[i - 1] >> 30) + i;
  std::size_t i = 1, k = 0;
  const auto advance = [&] {
    if (++i < kSize) return;
    state_[0] = state_[kSize - 1];
    i = 1;
  };
  for (std::size_t left = std::max(kSize, key.size()); left > 0; --left) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1664525u) + key[k] + static_cast<std::uint32_t>(k);
    advance();
    if (++k == key.size()) k = 0;
  }
  for (std::size_t left = kSize - 1; left > 0; --left) {
    state_[i] = (state_[i] ^ (state_[i - 1] ^ state_[i - 1] >> 30) * 1566083941u) - static_cast<std::uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000u;
}

std::uint32_t PythonRandom::next() {
  if (place_ == kSize) {
    for (std::size_t i = 0; i < kSize; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kSize] & 0x7FFFFFFFu);
      state_[i] = state_[(i + kShift) % kSize] ^ y >> 1 ^ ((y & 1) != 0 ? 0x9908B0DFu : 0);
    }
    place_ = 0;
  }
  std::uint32_t y = state_[place_++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9D2C5680u;
  y ^= y << 15 & 0xEFC60000u;
  return y ^ y >> 18;
}

std::uint32_t PythonRandom::below(std::uint32_t count) {
  int bits = 0;
  while (count >> bits != 0 && bits < 32) ++bits;
  for (;;) {
    const std::uint32_t drawn = next() >> (32 - bits);
    if (drawn < count) return drawn;
  }
}

Shuffle::Shuffle(std::uint32_t count, std::int64_t seed, std::int64_t epoch)
    : random_(std::to_string(seed) + " " + std::to_string(epoch)), left_(count) {
  for (std::uint32_t i = 0; i < count; ++i) left_[i] = i;
}

std::uint32_t Shuffle::next() {
  std::uint32_t& chosen = left_[random_.below(static_cast<std::uint32_t>(left_.size()))];
  const std::uint32_t number = chosen;
  chosen = left_.back();
  left_.pop_back();
  return number;
}

}  // namespace lowpeak::encode
