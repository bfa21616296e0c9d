// Compiled with -mavx2 -mfma -mf16c. Nothing is linked into the code of another instruction set:
// see linear_decode.h and simd.h.
#include "kernels/linear/linear_decode.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_pack.h"
#include "kernels/linear/linear_tile.h"
#include "kernels/linear/linear_x86_bytes.h"

namespace lowpeak {
namespace {

struct Avx2Lanes : X86Bytes {
  struct Affine {
    __m256 scale[2], offset[2];
  };

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

// 12 of 16 registers are sums.
using Avx2Tile = RegisterTile<6, 2>;

}  // namespace

extern const LinearKernels kAvx2LinearKernels = {Avx2Tile::kRows,
                                                 Avx2Tile::kCols,
                                                 kMc512k,
                                                 pack_left<Avx2Tile::kRows>,
                                                 Avx2Tile::multiply,
                                                 Decoder<Avx2Lanes>::decode_transposed,
                                                 Decoder<Avx2Lanes>::decode};

}  // namespace lowpeak
