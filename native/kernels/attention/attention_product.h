// Products of the small matrices of attention: C (+)= A B, B packed in panels of kNr columns.
//
// A is read in place, element by element: it may be a transposed block of scores. A panel holds its rows one
// after the other, so that the inner loop reads B as one stream.
#pragma once

#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

// A tile of C is kMr x kNr: as many vectors as the registers can hold beside a row of B.
#if defined(LOWPEAK_AVX512)
constexpr int kMr = 12, kNrVectors = 2;
#elif defined(LOWPEAK_AVX2)
constexpr int kMr = 6, kNrVectors = 2;
#elif defined(LOWPEAK_NEON)
constexpr int kMr = 6, kNrVectors = 4;
#else
constexpr int kMr = 4, kNrVectors = 2;
#endif
constexpr int kNr = kNrVectors * kSimdWidth;

constexpr int64_t padded_to_panel(int64_t cols) { return (cols + kNr - 1) / kNr * kNr; }

// Element (row, k) of A is data[row * row_stride + k * step] if Strided. Panels are what pack() makes, all rows of
// A: data[k / kNr * panel_stride + row * kNr + k % kNr].
struct Strided {
  const float* data;
  int64_t row_stride, step;
};
struct Panels {
  const float* data;
  int64_t panel_stride;
};

// The part of the contraction that a tile needs; empty: the tile is not computed.
struct Span {
  int64_t begin, end;
};

template <int tile_rows>
struct Tile {
  Vec sum[tile_rows][kNrVectors];

  LOWPEAK_INLINE void clear() {
    for (int r = 0; r < tile_rows; ++r)
      for (int v = 0; v < kNrVectors; ++v) sum[r][v] = set(0.0f);
  }

  LOWPEAK_INLINE void multiply(const float* a, int64_t row_stride, int64_t step, const float* b, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k, a += step, b += kNr) {
      Vec right[kNrVectors];
      for (int v = 0; v < kNrVectors; ++v) right[v] = load(b + v * kSimdWidth);
      for (int r = 0; r < tile_rows; ++r) {
        const Vec left = set(a[r * row_stride]);
        for (int v = 0; v < kNrVectors; ++v) sum[r][v] = fma(left, right[v], sum[r][v]);
      }
    }
  }

  LOWPEAK_INLINE void accumulate(const Strided& a, int64_t row, const float* b, Span span) {
    multiply(a.data + row * a.row_stride + span.begin * a.step, a.row_stride, a.step, b + span.begin * kNr,
             span.end - span.begin);
  }

  LOWPEAK_INLINE void accumulate(const Panels& a, int64_t row, const float* b, Span span) {
    const float* left = a.data + row * kNr;
    for (int64_t k = span.begin; k < span.end; k += kNr, left += a.panel_stride) {
      multiply(left, kNr, 1, b + k * kNr, kNr);
    }
  }

  template <bool add>
  LOWPEAK_INLINE void write(float* c, int64_t c_stride) const {
    for (int r = 0; r < tile_rows; ++r)
      for (int v = 0; v < kNrVectors; ++v) {
        float* target = c + r * c_stride + v * kSimdWidth;
        store(target, add ? load(target) + sum[r][v] : sum[r][v]);
      }
  }

  template <bool add>
  void write_first(float* c, int64_t c_stride, int64_t cols) const {
    float rows[tile_rows * kNr];
    write<false>(rows, kNr);
    for (int r = 0; r < tile_rows; ++r)
      for (int64_t col = 0; col < cols; ++col) {
        float& target = c[r * c_stride + col];
        target = rows[r * kNr + col] + (add ? target : 0.0f);
      }
  }
};

template <int tile_rows, bool add, class Left>
LOWPEAK_INLINE void compute_tile(const Left& a, int64_t row, const float* b, Span span, float* c, int64_t c_stride,
                                 int64_t cols) {
  Tile<tile_rows> tile;
  tile.clear();
  tile.accumulate(a, row, b, span);
  if (cols >= kNr) {
    tile.template write<add>(c, c_stride);
  } else {
    tile.template write_first<add>(c, c_stride, cols);
  }
}

// The last tile of a column of tiles has fewer rows: an instance for each number of them.
template <int tile_rows, bool add, class Left>
LOWPEAK_INLINE void compute_last_tile(int64_t rows, const Left& a, int64_t row, const float* b, Span span, float* c,
                                      int64_t c_stride, int64_t cols) {
  if constexpr (tile_rows > 1) {
    if (rows < tile_rows) {
      compute_last_tile<tile_rows - 1, add>(rows, a, row, b, span, c, c_stride, cols);
      return;
    }
  }
  compute_tile<tile_rows, add>(a, row, b, span, c, c_stride, cols);
}

// C [rows x cols] = A B, or += if `add`. A's columns and B's rows are `depth`; span(row, rows, col) narrows that
// for the tile at (row, col): blocks on the diagonal are half empty.
template <bool add, class Left, class SpanOf>
inline void product(int64_t rows, int64_t cols, int64_t depth, const Left& a, const float* b, float* c,
                    int64_t c_stride, const SpanOf& span_of) {
  for (int64_t col = 0; col < cols; col += kNr, b += depth * kNr) {
    int64_t row = 0;
    for (; row + kMr <= rows; row += kMr) {
      const Span span = span_of(row, kMr, col);
      if (span.begin >= span.end) continue;
      compute_tile<kMr, add>(a, row, b, span, c + row * c_stride + col, c_stride, cols - col);
    }
    if (row == rows) continue;
    const Span span = span_of(row, rows - row, col);
    if (span.begin >= span.end) continue;
    compute_last_tile<kMr, add>(rows - row, a, row, b, span, c + row * c_stride + col, c_stride, cols - col);
  }
}

// rows x cols in place -> panels of `depth` = rows rows; columns from cols to the panel's end are 0.
inline void pack(const float* source, int64_t row_stride, int64_t rows, int64_t cols, float* panels) {
  for (int64_t row = 0; row < rows; ++row, source += row_stride) {
    float* target = panels + row * kNr;
    int64_t col = 0;
    for (; col + kNr <= cols; col += kNr, target += rows * kNr)
      for (int v = 0; v < kNrVectors; ++v) store(target + v * kSimdWidth, load(source + col + v * kSimdWidth));
    if (col == cols) continue;
    for (int64_t i = 0; i < kNr; ++i) target[i] = col + i < cols ? source[col + i] : 0.0f;
  }
}

// The transpose of rows x cols in place -> panels of `depth` >= cols rows; whatever the source does not have is 0.
inline void pack_transposed(const float* source, int64_t row_stride, int64_t rows, int64_t cols, int64_t depth,
                            float* panels) {
  for (int64_t first = 0; first < rows; first += kNr, panels += depth * kNr) {
    for (int64_t i = 0; i < kNr; ++i) {
      const bool inside = first + i < rows;
      const float* row = source + (inside ? first + i : 0) * row_stride;
      for (int64_t col = 0; col < depth; ++col) panels[col * kNr + i] = inside && col < cols ? row[col] : 0.0f;
    }
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
