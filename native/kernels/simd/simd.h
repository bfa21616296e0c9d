// One vector of floats: AVX-512, AVX2 + FMA, NEON or plain C++, as the flags of the translation unit say.
//
// Everything lives in an inline namespace named after the instruction set, so that one template can be
// compiled for several of them and linked together. LOWPEAK_PORTABLE forces plain C++.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(LOWPEAK_PORTABLE)
#define LOWPEAK_ISA generic
#elif defined(__AVX512F__) && defined(__AVX512DQ__)
#if defined(__AVX512VNNI__)
#define LOWPEAK_ISA avx512_vnni
#else
#define LOWPEAK_ISA avx512
#endif
#define LOWPEAK_AVX512 1
#include <immintrin.h>
#elif defined(__AVX2__) && defined(__FMA__)
#define LOWPEAK_ISA avx2
#define LOWPEAK_AVX2 1
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define LOWPEAK_ISA neon
#define LOWPEAK_NEON 1
#include <arm_neon.h>
#else
#define LOWPEAK_ISA generic
#endif

#if defined(__GNUC__)
#define LOWPEAK_INLINE inline __attribute__((always_inline))
#else
#define LOWPEAK_INLINE inline
#endif

namespace lowpeak {
inline namespace LOWPEAK_ISA {

// load_first, store_first: only the first `count` < kSimdWidth lanes touch memory, the others load 0.
// max(a, b), min(a, b): b if a lane of it is NaN.
// add_exponent(a, n): a * 2^n for a normal a, an integral n and a normal result; NaN stays NaN.

LOWPEAK_INLINE void prefetch(const void* p) {
#if defined(__GNUC__)
  // GCC leaves calls out whose function does nothing but prefetch.
  __asm__ volatile("");
  __builtin_prefetch(p);
#elif defined(LOWPEAK_AVX512) || defined(LOWPEAK_AVX2)
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
#else
  (void)p;
#endif
}

#if defined(LOWPEAK_AVX512)

constexpr int kSimdWidth = 16;

struct Vec {
  __m512 value;
};
struct Mask {
  __mmask16 value;
};

inline __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.value); }
inline Vec load_first(const float* p, int64_t count) { return {_mm512_maskz_loadu_ps(first_lanes(count), p)}; }
inline void store_first(float* p, Vec a, int64_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), a.value); }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.value, b.value)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.value, b.value)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.value, b.value)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.value, b.value)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.value, b.value)}; }
inline Mask operator<(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.value, b.value, _CMP_LT_OQ)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm512_mask_blend_ps(m.value, no.value, yes.value)}; }
inline bool any(Mask m) { return m.value != 0; }
inline Vec round(Vec a) { return {_mm512_roundscale_ps(a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec add_exponent(Vec a, Vec n) {
  const __m512i shifted = _mm512_slli_epi32(_mm512_cvtps_epi32(n.value), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.value), shifted))};
}
inline Vec lane_index() { return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
inline float reduce_add(Vec a) { return _mm512_reduce_add_ps(a.value); }

#elif defined(LOWPEAK_AVX2)

constexpr int kSimdWidth = 8;

struct Vec {
  __m256 value;
};
struct Mask {
  __m256 value;
};

inline __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec set(float x) { return {_mm256_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.value); }
inline Vec load_first(const float* p, int64_t count) { return {_mm256_maskload_ps(p, first_lanes(count))}; }
inline void store_first(float* p, Vec a, int64_t count) { _mm256_maskstore_ps(p, first_lanes(count), a.value); }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.value, b.value)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.value, b.value)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.value, b.value)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.value, b.value)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.value, b.value)}; }
inline Mask operator<(Vec a, Vec b) { return {_mm256_cmp_ps(a.value, b.value, _CMP_LT_OQ)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {_mm256_blendv_ps(no.value, yes.value, m.value)}; }
inline bool any(Mask m) { return _mm256_movemask_ps(m.value) != 0; }
inline Vec round(Vec a) { return {_mm256_round_ps(a.value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec add_exponent(Vec a, Vec n) {
  const __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n.value), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.value), shifted))};
}
inline Vec lane_index() { return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)}; }
inline float reduce_add(Vec a) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a.value), _mm256_extractf128_ps(a.value, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

#else

constexpr int kSimdWidth = 4;

#if defined(LOWPEAK_NEON)

struct Vec {
  float32x4_t value;
};
struct Mask {
  uint32x4_t value;
};

inline Vec set(float x) { return {vdupq_n_f32(x)}; }
inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline void store(float* p, Vec a) { vst1q_f32(p, a.value); }
inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.value, b.value)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.value, b.value)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.value, b.value)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.value, b.value)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.value, a.value, b.value)}; }
inline Vec max(Vec a, Vec b) { return {vmaxq_f32(a.value, b.value)}; }
inline Vec min(Vec a, Vec b) { return {vminq_f32(a.value, b.value)}; }
inline Mask operator<(Vec a, Vec b) { return {vcltq_f32(a.value, b.value)}; }
inline Vec select(Mask m, Vec yes, Vec no) { return {vbslq_f32(m.value, yes.value, no.value)}; }
inline bool any(Mask m) { return vmaxvq_u32(m.value) != 0; }
inline Vec round(Vec a) { return {vrndnq_f32(a.value)}; }
inline Vec add_exponent(Vec a, Vec n) {
  const int32x4_t shifted = vshlq_n_s32(vcvtnq_s32_f32(n.value), 23);
  return {vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a.value), shifted))};
}
inline float reduce_add(Vec a) { return vaddvq_f32(a.value); }

#else

struct Vec {
  float value[kSimdWidth];
};
struct Mask {
  bool value[kSimdWidth];
};

template <class Function>
inline Vec each_lane(Function function) {
  Vec result;
  for (int i = 0; i < kSimdWidth; ++i) result.value[i] = function(i);
  return result;
}

inline Vec set(float x) { return {{x, x, x, x}}; }
inline Vec load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline void store(float* p, Vec a) { std::memcpy(p, a.value, sizeof a.value); }
inline Vec operator+(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] + b.value[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] - b.value[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] * b.value[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] / b.value[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return each_lane([&](int i) { return a.value[i] * b.value[i] + c.value[i]; });
}
inline Vec max(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] > b.value[i] ? a.value[i] : b.value[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each_lane([&](int i) { return a.value[i] < b.value[i] ? a.value[i] : b.value[i]; });
}
inline Mask operator<(Vec a, Vec b) {
  Mask result;
  for (int i = 0; i < kSimdWidth; ++i) result.value[i] = a.value[i] < b.value[i];
  return result;
}
inline Vec select(Mask m, Vec yes, Vec no) {
  return each_lane([&](int i) { return m.value[i] ? yes.value[i] : no.value[i]; });
}
inline bool any(Mask m) { return m.value[0] || m.value[1] || m.value[2] || m.value[3]; }
inline Vec round(Vec a) {
  return each_lane([&](int i) { return std::nearbyint(a.value[i]); });
}
inline Vec add_exponent(Vec a, Vec n) {
  return each_lane([&](int i) {
    uint32_t bits;
    std::memcpy(&bits, &a.value[i], sizeof bits);
    if (std::isnan(n.value[i])) return a.value[i];
    bits += static_cast<uint32_t>(static_cast<int32_t>(n.value[i])) << 23;
    float scaled;
    std::memcpy(&scaled, &bits, sizeof bits);
    return scaled;
  });
}
inline float reduce_add(Vec a) { return (a.value[0] + a.value[2]) + (a.value[1] + a.value[3]); }

#endif

inline Vec load_first(const float* p, int64_t count) {
  float lanes[kSimdWidth] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store_first(float* p, Vec a, int64_t count) {
  float lanes[kSimdWidth];
  store(lanes, a);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
inline Vec lane_index() {
  const float lanes[kSimdWidth] = {0, 1, 2, 3};
  return load(lanes);
}

#endif

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
