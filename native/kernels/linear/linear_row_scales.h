// Scales and zero points of quantized rows, for any instruction set; see linear_row.h.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/linear/linear_row.h"
#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int kRowsAtATime = 4;  // which share what is read of x
constexpr int64_t kScalesAtATime = 64;
constexpr int64_t kPadding = 16;  // a whole vector, and the groups of a whole block

// Processors read ahead within a page only, and not this far.
constexpr uintptr_t kBytesAhead = 4096;

LOWPEAK_INLINE void prefetch_ahead(const void* p) {
  prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + kBytesAhead));
}

// Of one row.
struct RowScales {
  float values[kScalesAtATime + kPadding];
};

#if defined(LOWPEAK_AVX512)
inline Vec load_halves(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Vec load_first_halves(const uint16_t* p, int64_t count) {
  __m512i pairs = _mm512_maskz_loadu_epi32(first_lanes(count / 2), p);
  if (count % 2) pairs = _mm512_mask_set1_epi32(pairs, static_cast<__mmask16>(1 << (count / 2)), p[count - 1]);
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(pairs))};
}
#else
#if defined(LOWPEAK_AVX2)
inline Vec load_halves(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
#elif defined(LOWPEAK_NEON)
inline Vec load_halves(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
#else
// Half precision to float by its bits; subnormal halves too.
inline float float_of_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
  uint32_t bits;
  if (magnitude >= 0x7c00) {
    bits = 0x7f800000 | (magnitude & 0x3ff) << 13;
  } else if (magnitude >= 0x400) {
    bits = (magnitude << 13) + (112u << 23);
  } else {
    const float value = static_cast<float>(magnitude) * (1.0f / 16777216.0f);
    std::memcpy(&bits, &value, sizeof bits);
  }
  bits |= sign;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline Vec load_halves(const uint16_t* p) {
  return each_lane([&](int i) { return float_of_half(p[i]); });
}
#endif
inline Vec load_first_halves(const uint16_t* p, int64_t count) {
  uint16_t halves[kSimdWidth] = {};
  for (int64_t i = 0; i < count; ++i) halves[i] = p[i];
  return load_halves(halves);
}
#endif

inline Vec load_scales(const QuantizedMatrix& weight, int64_t first, int64_t count) {
  if (weight.scale_is_half) {
    const uint16_t* halves = static_cast<const uint16_t*>(weight.scale) + first;
    return count >= kSimdWidth ? load_halves(halves) : load_first_halves(halves, count);
  }
  const float* floats = static_cast<const float*>(weight.scale) + first;
  return count >= kSimdWidth ? load(floats) : load_first(floats, count);
}

// Of the groups first .. first + count of the matrix: writes their scales times `factors`, if these are given, with
// zeros after them, and returns, in any lanes, the sum of s (least + z) (sum x), or 0 if all z + least are.
// Reads `sums`, those of x, and factors beyond the last group.
LOWPEAK_INLINE Vec take_scales(const QuantizedMatrix& weight, int64_t first, int64_t count, float least,
                               const float* sums, const float* factors, RowScales& scales) {
  const float* points = weight.zero_point ? weight.zero_point + first : nullptr;
  Vec total = set(0.0f);
  for (int64_t i = 0; i < count; i += kSimdWidth) {
    const int64_t left = count - i;
    const Vec scale = load_scales(weight, first + i, left);
    store(scales.values + i, factors ? scale * load(factors + i) : scale);
    if (points) {
      const Vec point = left >= kSimdWidth ? load(points + i) : load_first(points + i, left);
      total = fma((point + set(least)) * scale, load(sums + i), total);
    } else if (least != 0) {
      total = fma(set(least) * scale, load(sums + i), total);
    }
  }
  store(scales.values + (count + kSimdWidth - 1) / kSimdWidth * kSimdWidth, set(0.0f));
  return total;
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
