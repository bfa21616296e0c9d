// A vector of 32-bit words of quantized weights, a lane of floats for each: see simd.h.
//
// load_first_words: only the first `count` < kSimdWidth words are read, the others are 0.
// Nibble j of a word is bits 4 j to 4 j + 3. It is not shifted down before it becomes a float: what multiplies it
// is smaller by the same power of 2, which is exact.
#pragma once

#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int kNibblesAWord = 8;

// By what nibble j of a word has been multiplied in `nibble`.
constexpr float nibble_factor(int j) { return j == 7 ? 1.0f : static_cast<float>(1 << (4 * j)); }

#if defined(LOWPEAK_AVX512)

struct Words {
  __m512i value;
};
inline Words load_words(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Words load_first_words(const uint8_t* p, int64_t count) {
  return {_mm512_maskz_loadu_epi32(first_lanes(count), p)};
}
// `shared` neighbouring lanes have one of the floats at p.
template <int shared>
inline Vec spread(const float* p) {
  if (shared >= 16) return set(*p);
  if (shared == 8) return {_mm512_insertf32x8(_mm512_set1_ps(p[0]), _mm256_set1_ps(p[1]), 1)};
  const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return {_mm512_permutexvar_ps(lanes, _mm512_castps128_ps512(_mm_loadu_ps(p)))};
}

#elif defined(LOWPEAK_AVX2)

struct Words {
  __m256i value;
};
inline Words load_words(const uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline Words load_first_words(const uint8_t* p, int64_t count) {
  return {_mm256_maskload_epi32(reinterpret_cast<const int*>(p), first_lanes(count))};
}
template <int j>
inline Vec nibble(Words words) {
  if (j == 7) return {_mm256_cvtepi32_ps(_mm256_srli_epi32(words.value, 28))};
  return {_mm256_cvtepi32_ps(_mm256_and_si256(words.value, _mm256_set1_epi32(15 << (4 * (j % 7)))))};
}
inline Vec signed_bytes(const uint8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
template <int shared>
inline Vec spread(const float* p) {
  if (shared >= 8) return set(*p);
  return {_mm256_set_m128(_mm_set1_ps(p[1]), _mm_set1_ps(p[0]))};
}

#else

#if defined(LOWPEAK_NEON)

struct Words {
  uint32x4_t value;
};
inline Words load_words(const uint8_t* p) { return {vreinterpretq_u32_u8(vld1q_u8(p))}; }
template <int j>
inline Vec nibble(Words words) {
  if (j == 7) return {vcvtq_f32_u32(vshrq_n_u32(words.value, 28))};
  return {vcvtq_f32_u32(vandq_u32(words.value, vdupq_n_u32(15u << (4 * (j % 7)))))};
}
inline Vec signed_bytes(const uint8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)))};
}

#else

struct Words {
  uint32_t value[kSimdWidth];
};
inline Words load_words(const uint8_t* p) {
  Words words;
  for (int i = 0; i < kSimdWidth; ++i, p += 4) {
    words.value[i] =
        p[0] | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
  }
  return words;
}
template <int j>
inline Vec nibble(Words words) {
  return each_lane([&](int i) {
    return static_cast<float>(j == 7 ? words.value[i] >> 28 : words.value[i] & (15u << (4 * (j % 7))));
  });
}
inline Vec signed_bytes(const uint8_t* p) {
  return each_lane([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
}

#endif

inline Words load_first_words(const uint8_t* p, int64_t count) {
  uint8_t bytes[4 * kSimdWidth] = {};
  std::memcpy(bytes, p, static_cast<size_t>(4 * count));
  return load_words(bytes);
}

template <int shared>
inline Vec spread(const float* p) {
  static_assert(shared >= kSimdWidth, "a vector is in one group");
  return set(*p);
}

#endif

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
