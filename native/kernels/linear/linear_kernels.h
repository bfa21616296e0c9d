// What each instruction set implements for the blocked products, each in a source file with its own flags.
//
// The names are those of GotoBLAS (Goto and van de Geijn 2008): the microkernel computes mr x nr of the product in
// registers; a packed block of the left factor is mc x kc, a panel of the right one kc x nc.
#pragma once

#include <cstdint>

#include "kernels/linear/quantized.h"
#include "kernels/simd/cpu.h"

namespace lowpeak {

// Columns that the panels are packed in; a microkernel computes one such tile or two.
constexpr int kNr = 16;

// mc: rows of the left factor that share a second level cache with a panel, where that cache has 512 KB and where it
// has 1 MB. Both are multiples of every mr.
constexpr int kMc512k = 192, kMc1m = 264;
constexpr int kMcMost = kMc1m;

// Before a loop over an array that has to live in registers. GCC keeps such an array in memory as well,
// unless the loop is gone before it looks.
#if defined(__clang__)
#define LOWPEAK_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LOWPEAK_UNROLL _Pragma("GCC unroll 16")
#else
#define LOWPEAK_UNROLL
#endif

// c[rows, cols] (+)= alpha * a[rows, depth] @ b[depth, cols], at most a register tile of c.
struct TileProduct {
  const float* a;          // element (i, k) at a[i * a_row_stride + k * a_depth_stride]
  int64_t a_row_stride;    // 1 when a is a packed tile,
  int64_t a_depth_stride;  // and then the register tile's rows
  const float* b;          // tiles of a panel: element (k, j) of the first at b[k * kNr + j]
  int64_t b_tile_stride;   // from one to the next
  int64_t depth;
  float* c;
  int64_t c_stride;
  int rows;
  int cols;
  float alpha;
  bool accumulate;
};

// A panel holds tiles of kNr columns one after the other, each [depth, kNr]; what lies beyond the
// matrix is zero.
struct LinearKernels {
  // The register tile, as large as the registers allow. Its columns are whole tiles of a panel.
  int mr;
  int nr;

  int mc;  // one of the above

  // pack_left of linear_pack.h for mr.
  void (*pack_left)(const float* a, int64_t row_stride, int64_t depth_stride, int64_t rows, int64_t depth,
                    float* packed);

  void (*multiply_tile)(const TileProduct& product);

  // Panel of weight[row .. row + rows, col .. col + cols]^T: depth is `cols`. For 4 bits `col` is even.
  void (*decode_transposed)(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col, int64_t cols,
                            float* panel);

  // Panel of weight[row .. row + rows, col .. col + cols]: depth is `rows`. `col` is a multiple of kNr.
  void (*decode)(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col, int64_t cols, float* panel);
};

extern const LinearKernels kGenericLinearKernels;
extern const LinearKernels kAvx2LinearKernels;
extern const LinearKernels kAvx512LinearKernels;
extern const LinearKernels kNeonLinearKernels;

// The kernels of `isa`, for which has_isa() must hold.
const LinearKernels& linear_kernels(Isa isa);

}  // namespace lowpeak
