// The operations on 16 bytes that AVX2 and AVX-512 share, see linear_decode.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lowpeak {
namespace {

struct X86Bytes {
  using Bytes = __m128i;

  static float half_to_float(uint16_t half) { return _cvtsh_ss(half); }
  static void prefetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }
  static Bytes load8(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
  static Bytes load16(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static Bytes zip_low8(Bytes a, Bytes b) { return _mm_unpacklo_epi8(a, b); }
  static Bytes zip_low16(Bytes a, Bytes b) { return _mm_unpacklo_epi16(a, b); }
  static Bytes zip_high16(Bytes a, Bytes b) { return _mm_unpackhi_epi16(a, b); }
  static Bytes zip_low32(Bytes a, Bytes b) { return _mm_unpacklo_epi32(a, b); }
  static Bytes zip_high32(Bytes a, Bytes b) { return _mm_unpackhi_epi32(a, b); }
  static Bytes zip_low64(Bytes a, Bytes b) { return _mm_unpacklo_epi64(a, b); }
  static Bytes zip_high64(Bytes a, Bytes b) { return _mm_unpackhi_epi64(a, b); }
  static Bytes low_nibbles(Bytes a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
  static Bytes high_nibbles(Bytes a) { return low_nibbles(_mm_srli_epi16(a, 4)); }
};

}  // namespace
}  // namespace lowpeak
