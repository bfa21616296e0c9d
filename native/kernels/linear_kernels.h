// What each instruction set implements for the blocked products, each in a source file with its own flags.
#pragma once

#include <cstdint>

#include "cpu.h"
#include "quantized.h"

namespace lowpeak {

// The register tile: 6 x 16 accumulators fill the registers of AVX2 (12 of 16) and of NEON (24 of 32).
constexpr int tile_rows = 6;
constexpr int tile_cols = 16;

// Before a loop over an array that has to live in registers. GCC keeps such an array in memory as well,
// unless the loop is gone before it looks.
#if defined(__clang__)
#define LOWPEAK_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LOWPEAK_UNROLL _Pragma("GCC unroll 16")
#else
#define LOWPEAK_UNROLL
#endif

// c[rows, cols] (+)= alpha * a[rows, depth] @ b[depth, cols], rows <= tile_rows, cols <= tile_cols.
struct TileProduct {
  const float* a;          // element (i, k) at a[i * a_row_stride + k * a_depth_stride]
  int64_t a_row_stride;    // 1 when a is a packed tile,
  int64_t a_depth_stride;  // and then tile_rows
  const float* b;          // a tile of a panel: element (k, j) at b[k * tile_cols + j]
  int64_t depth;
  float* c;
  int64_t c_stride;
  int rows;
  int cols;
  float alpha;
  bool accumulate;
};

// A panel holds tiles of tile_cols columns one after the other, each [depth, tile_cols]; what lies beyond the
// matrix is zero.
struct LinearKernels {
  void (*multiply_tile)(const TileProduct& product);

  // Panel of weight[row .. row + rows, col .. col + cols]^T: depth is `cols`. For 4 bits `col` is even.
  void (*decode_transposed)(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col,
                            int64_t cols, float* panel);

  // Panel of weight[row .. row + rows, col .. col + cols]: depth is `rows`. `col` is a multiple of tile_cols.
  void (*decode)(const QuantizedMatrix& weight, int64_t row, int64_t rows, int64_t col, int64_t cols,
                 float* panel);
};

extern const LinearKernels generic_linear_kernels;
extern const LinearKernels avx2_linear_kernels;
extern const LinearKernels neon_linear_kernels;

// The kernels of `isa`, for which has_isa() must hold.
const LinearKernels& linear_kernels(Isa isa);

}  // namespace lowpeak
