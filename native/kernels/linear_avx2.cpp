// Compiled with -mavx2 -mfma -mf16c. Everything but the table has internal linkage, see linear_decode.h.
#include <immintrin.h>

#include "linear_decode.h"
#include "linear_kernels.h"

namespace lowpeak {
namespace {

struct Avx2Lanes {
  using Bytes = __m128i;
  struct Affine {
    __m256 scale[2], offset[2];
  };

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

  static Affine affine(const float* scales, const float* offsets) {
    return {{_mm256_loadu_ps(scales), _mm256_loadu_ps(scales + 8)},
            {_mm256_loadu_ps(offsets), _mm256_loadu_ps(offsets + 8)}};
  }
  static Affine affine_of(float scale, float offset) {
    const __m256 s = _mm256_set1_ps(scale), o = _mm256_set1_ps(offset);
    return {{s, s}, {o, o}};
  }

  static void store(Bytes bytes, const Affine& of, float* out) {
    store_integers(_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(zip_high64(bytes, bytes)), of, out);
  }
  static void store_signed(Bytes bytes, const Affine& of, float* out) {
    store_integers(_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(zip_high64(bytes, bytes)), of, out);
  }
  static void store_integers(__m256i low, __m256i high, const Affine& of, float* out) {
    _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(low), of.scale[0], of.offset[0]));
    _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(high), of.scale[1], of.offset[1]));
  }
};

template <int Rows, bool Packed>
void multiply_rows(const TileProduct& p) {
  const int64_t row_stride = Packed ? 1 : p.a_row_stride;
  const int64_t depth_stride = Packed ? tile_rows : p.a_depth_stride;
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) {
    // The tile of c is needed once the sum is complete, which hides its way from memory.
    _mm_prefetch(reinterpret_cast<const char*>(p.c + i * p.c_stride), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(p.c + i * p.c_stride + p.cols - 1), _MM_HINT_T0);
  }
  __m256 sum[Rows][2];
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  const float* a = p.a;
  const float* b = p.b;
  for (int64_t k = 0; k < p.depth; ++k) {
    const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
    LOWPEAK_UNROLL
    for (int i = 0; i < Rows; ++i) {
      const __m256 value = _mm256_broadcast_ss(a + i * row_stride);
      sum[i][0] = _mm256_fmadd_ps(value, b0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(value, b1, sum[i][1]);
    }
    a += depth_stride;
    b += tile_cols;
  }
  const __m256 alpha = _mm256_set1_ps(p.alpha);
  float* c = p.c;
  if (p.cols == tile_cols) {
    LOWPEAK_UNROLL
    for (int i = 0; i < Rows; ++i, c += p.c_stride) {
      LOWPEAK_UNROLL
      for (int half = 0; half < 2; ++half) {
        float* out = c + 8 * half;
        const __m256 product = p.accumulate ? _mm256_fmadd_ps(alpha, sum[i][half], _mm256_loadu_ps(out))
                                            : _mm256_mul_ps(alpha, sum[i][half]);
        _mm256_storeu_ps(out, product);
      }
    }
    return;
  }
  LOWPEAK_UNROLL
  for (int i = 0; i < Rows; ++i, c += p.c_stride) {
    LOWPEAK_UNROLL
    for (int half = 0; half < 2; ++half) {
      float* out = c + 8 * half;
      const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
      const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(p.cols - 8 * half), lane);
      const __m256 product = p.accumulate
                                 ? _mm256_fmadd_ps(alpha, sum[i][half], _mm256_maskload_ps(out, inside))
                                 : _mm256_mul_ps(alpha, sum[i][half]);
      _mm256_maskstore_ps(out, inside, product);
    }
  }
}

template <int Rows>
void multiply(const TileProduct& p) {
  const bool packed = p.a_row_stride == 1 && p.a_depth_stride == tile_rows;
  packed ? multiply_rows<Rows, true>(p) : multiply_rows<Rows, false>(p);
}

void multiply_tile(const TileProduct& p) {
  switch (p.rows) {
    case 1: return multiply<1>(p);
    case 2: return multiply<2>(p);
    case 3: return multiply<3>(p);
    case 4: return multiply<4>(p);
    case 5: return multiply<5>(p);
    default: return multiply<tile_rows>(p);
  }
}

}  // namespace

extern const LinearKernels avx2_linear_kernels = {multiply_tile, Decoder<Avx2Lanes>::decode_transposed,
                                                  Decoder<Avx2Lanes>::decode};

}  // namespace lowpeak
