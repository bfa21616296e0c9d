// The register tile by vectors of simd.h: sums of rows x vectors that stay in registers.
#pragma once

#include "kernels/linear/linear_kernels.h"
#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

template <int Rows, int Vectors>
struct RegisterTile {
  static constexpr int kRows = Rows;
  static constexpr int kCols = Vectors * kSimdWidth;
  static_assert(kCols % kNr == 0, "whole tiles of a panel");

  static void multiply(const TileProduct& p) { with_vectors<Vectors>(p); }

 private:
  // Fewer columns take fewer vectors, fewer rows fewer sums: an instance for each.
  template <int UsedVectors>
  static void with_vectors(const TileProduct& p) {
    if constexpr (UsedVectors > 1) {
      if (p.cols <= (UsedVectors - 1) * kSimdWidth) return with_vectors<UsedVectors - 1>(p);
    }
    with_rows<Rows, UsedVectors>(p);
  }

  template <int UsedRows, int UsedVectors>
  static void with_rows(const TileProduct& p) {
    if constexpr (UsedRows > 1) {
      if (p.rows < UsedRows) return with_rows<UsedRows - 1, UsedVectors>(p);
    }
    const bool packed = p.a_row_stride == 1 && p.a_depth_stride == Rows;
    packed ? sum<UsedRows, UsedVectors, true>(p) : sum<UsedRows, UsedVectors, false>(p);
  }

  template <int UsedRows, int UsedVectors, bool Packed>
  static void sum(const TileProduct& p) {
    const int64_t row_stride = Packed ? 1 : p.a_row_stride;
    const int64_t depth_stride = Packed ? Rows : p.a_depth_stride;
    LOWPEAK_UNROLL
    for (int i = 0; i < UsedRows; ++i) {
      // The tile of c is needed once the sum is complete, which hides its way from memory.
      prefetch(p.c + i * p.c_stride);
      prefetch(p.c + i * p.c_stride + p.cols - 1);
    }
    Vec sums[UsedRows][UsedVectors];
    LOWPEAK_UNROLL
    for (int i = 0; i < UsedRows; ++i) {
      LOWPEAK_UNROLL
      for (int v = 0; v < UsedVectors; ++v) sums[i][v] = set(0.0f);
    }
    const float* a = p.a;
    const float* b = p.b;
    for (int64_t k = 0; k < p.depth; ++k) {
      Vec right[UsedVectors];
      LOWPEAK_UNROLL
      for (int v = 0; v < UsedVectors; ++v) {
        const int col = v * kSimdWidth;
        right[v] = load(b + col / kNr * p.b_tile_stride + col % kNr);
      }
      LOWPEAK_UNROLL
      for (int i = 0; i < UsedRows; ++i) {
        const Vec left = set(a[i * row_stride]);
        LOWPEAK_UNROLL
        for (int v = 0; v < UsedVectors; ++v) sums[i][v] = fma(left, right[v], sums[i][v]);
      }
      a += depth_stride;
      b += kNr;
    }
    const Vec alpha = set(p.alpha);
    float* c = p.c;
    LOWPEAK_UNROLL
    for (int i = 0; i < UsedRows; ++i, c += p.c_stride) {
      LOWPEAK_UNROLL
      for (int v = 0; v < UsedVectors; ++v) {
        float* out = c + v * kSimdWidth;
        const int left = p.cols - v * kSimdWidth;
        if (left >= kSimdWidth) {
          store(out, p.accumulate ? fma(alpha, sums[i][v], load(out)) : alpha * sums[i][v]);
        } else {
          store_first(out, p.accumulate ? fma(alpha, sums[i][v], load_first(out, left)) : alpha * sums[i][v], left);
        }
      }
    }
  }
};

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
