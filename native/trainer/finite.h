// Whether there is an infinity or a NaN among numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lowpeak::trainer {

inline bool all_finite(const float* values, std::size_t count) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= (bits & kExponent) == kExponent;
  }
  return found == 0;
}

}  // namespace lowpeak::trainer
