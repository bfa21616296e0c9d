// Compiled with -mavx512f -mavx512dq -mfma -mf16c. Nothing is linked into the code of another
// instruction set: see linear_decode.h and simd.h.
#include "kernels/linear/linear_decode.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_pack.h"
#include "kernels/linear/linear_tile.h"
#include "kernels/linear/linear_x86_bytes.h"

namespace lowpeak {
namespace {

struct Avx512Lanes : X86Bytes {
  struct Affine {
    __m512 scale, offset;
  };

  static Affine affine(const float* scales, const float* offsets) {
    return {_mm512_loadu_ps(scales), _mm512_loadu_ps(offsets)};
  }
  static Affine affine_of(float scale, float offset) { return {_mm512_set1_ps(scale), _mm512_set1_ps(offset)}; }

  static void store(Bytes bytes, const Affine& of, float* out) { store_integers(_mm512_cvtepu8_epi32(bytes), of, out); }
  static void store_signed(Bytes bytes, const Affine& of, float* out) {
    store_integers(_mm512_cvtepi8_epi32(bytes), of, out);
  }
  static void store_integers(__m512i values, const Affine& of, float* out) {
    _mm512_storeu_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(values), of.scale, of.offset));
  }
};

// 24 of 32 registers are sums. Processors with AVX-512 have 1 MB of L2 a core, or more.
using Avx512Tile = RegisterTile<12, 2>;

}  // namespace

extern const LinearKernels kAvx512LinearKernels = {Avx512Tile::kRows,
                                                   Avx512Tile::kCols,
                                                   kMc1m,
                                                   pack_left<Avx512Tile::kRows>,
                                                   Avx512Tile::multiply,
                                                   Decoder<Avx512Lanes>::decode_transposed,
                                                   Decoder<Avx512Lanes>::decode};

}  // namespace lowpeak
