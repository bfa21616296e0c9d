// Sums over the columns of a quantized row, for any instruction set; see linear_row.h.
//
// 4 bits: a vector of words is a block of 8 columns a lane. With n the nibbles of group g, z its zero point and s
// its scale, the sum is
//
//     sum over g of s (sum n x)  -  sum over g of s (8 + z) (sum x)
//
// where the sums of x are made once for all rows. 8 bits are read in their order, and have no 8.
#pragma once

#include <algorithm>

#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_row.h"
#include "kernels/linear/linear_row_scales.h"
#include "kernels/linear/words.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int64_t block_cols = nibbles_a_word * simd_width;

inline int64_t row_blocks(int64_t cols) { return (cols + block_cols - 1) / block_cols; }

// Of x, before the sums of its groups, of which there is one for 32 columns at most.
inline int64_t ordered_floats(int64_t cols, int bits) { return bits == 4 ? row_blocks(cols) * block_cols : cols; }

inline int64_t prepared_floats(int64_t cols, int bits) { return ordered_floats(cols, bits) + cols / 32 + padding; }

inline void prepare_row(const float* x, const QuantizedMatrix& weight, float* prepared) {
  float* sums = prepared + ordered_floats(weight.cols, weight.bits);
  for (int64_t group = 0; group < weight.groups(); ++group, x += weight.group_size) {
    float sum = 0;
    for (int64_t i = 0; i < weight.group_size; ++i) sum += x[i];
    sums[group] = sum;
  }
  std::fill_n(sums + weight.groups(), padding, 0.0f);
  x -= weight.cols;
  if (weight.bits == 8) {
    std::copy_n(x, weight.cols, prepared);
    return;
  }
  for (int64_t block = 0; block < row_blocks(weight.cols); ++block) {
    for (int j = 0; j < nibbles_a_word; ++j) {
      for (int lane = 0; lane < simd_width; ++lane) {
        // The even column of a byte is its high nibble.
        const int64_t col = block * block_cols + lane * nibbles_a_word + (j ^ 1);
        *prepared++ = col < weight.cols ? x[col] * (1.0f / nibble_factor(j)) : 0.0f;
      }
    }
  }
}

// sum[r] += nibbles j of words[r] . x
template <int j, int rows>
LOWPEAK_INLINE void add_nibbles(const Words (&words)[rows], const float* x, Vec (&sum)[rows]) {
  const Vec factor = load(x + j * simd_width);
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) {
    const Vec values = nibble<j>(words[r]);
    sum[r] = j == 0 ? values * factor : fma(values, factor, sum[r]);
  }
}

template <int shared, int rows>
LOWPEAK_INLINE void add_block(const Words (&words)[rows], const float* x, const RowScales* scales, int64_t group,
                              Vec (&total)[rows]) {
  Vec sum[rows];
  add_nibbles<0>(words, x, sum);
  add_nibbles<1>(words, x, sum);
  add_nibbles<2>(words, x, sum);
  add_nibbles<3>(words, x, sum);
  add_nibbles<4>(words, x, sum);
  add_nibbles<5>(words, x, sum);
  add_nibbles<6>(words, x, sum);
  add_nibbles<7>(words, x, sum);
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) total[r] = fma(sum[r], spread<shared>(scales[r].values + group), total[r]);
}

// x . the rows from `row` on; `shared`: lanes of one group.
template <int shared, int rows>
inline void sums_of_nibbles(const float* prepared, const QuantizedMatrix& weight, int64_t row, float* result) {
  constexpr int64_t groups_a_block = shared >= simd_width ? 1 : simd_width / shared;
  constexpr int64_t blocks_a_group = shared >= simd_width ? shared / simd_width : 1;
  constexpr int64_t blocks_at_a_time = scales_at_a_time / groups_a_block * blocks_a_group;
  const int64_t groups = weight.groups(), blocks = row_blocks(weight.cols), row_bytes = weight.row_bytes();
  const int64_t whole = weight.cols / block_cols, rest = weight.cols % block_cols / nibbles_a_word;
  const uint8_t* data = weight.data + row * row_bytes;
  const float* sums = prepared + ordered_floats(weight.cols, 4);
  Vec total[rows], offset[rows];
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) total[r] = offset[r] = set(0.0f);
  RowScales scales[rows];
  for (int64_t first = 0; first < blocks; first += blocks_at_a_time) {
    const int64_t group = first / blocks_a_group * groups_a_block;
    const int64_t count = std::min(groups - group, scales_at_a_time);
    LOWPEAK_UNROLL
    for (int r = 0; r < rows; ++r) {
      offset[r] =
          offset[r] + take_scales(weight, (row + r) * groups + group, count, 8.0f, sums + group, nullptr, scales[r]);
    }
    const int64_t last = std::min(whole, first + blocks_at_a_time);
    const float* x = prepared + first * block_cols;
    int64_t block = first;
    Words words[rows];
    for (; block < last; ++block, x += block_cols) {
      const uint8_t* bytes = data + block * (block_cols / 2);
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) {
        prefetch_ahead(bytes + r * row_bytes);
        words[r] = load_words(bytes + r * row_bytes);
      }
      add_block<shared>(words, x, scales, (block - first) / blocks_a_group * groups_a_block, total);
    }
    if (block == whole && rest > 0 && block < first + blocks_at_a_time) {
      const uint8_t* bytes = data + block * (block_cols / 2);
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) words[r] = load_first_words(bytes + r * row_bytes, rest);
      add_block<shared>(words, x, scales, (block - first) / blocks_a_group * groups_a_block, total);
    }
  }
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) result[r] = reduce_add(total[r] - offset[r]);
}

template <int rows>
inline void sums_of_bytes(const float* prepared, const QuantizedMatrix& weight, int64_t row, float* result) {
  const int64_t groups = weight.groups(), size = weight.group_size, row_bytes = weight.row_bytes();
  const uint8_t* data = weight.data + row * row_bytes;
  const float* sums = prepared + weight.cols;
  Vec total[rows], offset[rows];
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) total[r] = offset[r] = set(0.0f);
  RowScales scales[rows];
  for (int64_t first = 0; first < groups; first += scales_at_a_time) {
    const int64_t count = std::min(groups - first, scales_at_a_time);
    LOWPEAK_UNROLL
    for (int r = 0; r < rows; ++r) {
      offset[r] =
          offset[r] + take_scales(weight, (row + r) * groups + first, count, 0.0f, sums + first, nullptr, scales[r]);
    }
    const float* x = prepared + first * size;
    const uint8_t* bytes = data + first * size;
    for (int64_t i = 0; i < count; ++i) {
      Vec sum[rows];
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) sum[r] = set(0.0f);
      // 32, 64 or 128 columns.
      for (int64_t col = 0; col < size; col += 2 * simd_width, x += 2 * simd_width, bytes += 2 * simd_width) {
        const Vec factor[2] = {load(x), load(x + simd_width)};
        LOWPEAK_UNROLL
        for (int r = 0; r < rows; ++r) {
          prefetch_ahead(bytes + r * row_bytes);
          sum[r] = fma(signed_bytes(bytes + r * row_bytes), factor[0], sum[r]);
          sum[r] = fma(signed_bytes(bytes + r * row_bytes + simd_width), factor[1], sum[r]);
        }
      }
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) total[r] = fma(sum[r], set(scales[r].values[i]), total[r]);
    }
  }
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) result[r] = reduce_add(total[r] - offset[r]);
}

template <int rows>
inline void sums_of_rows(const float* prepared, const QuantizedMatrix& weight, int64_t row, float* result) {
  if (weight.bits == 8) return sums_of_bytes<rows>(prepared, weight, row, result);
  switch (weight.group_size) {
    case 32: return sums_of_nibbles<32 / nibbles_a_word, rows>(prepared, weight, row, result);
    case 64: return sums_of_nibbles<64 / nibbles_a_word, rows>(prepared, weight, row, result);
    default: return sums_of_nibbles<128 / nibbles_a_word, rows>(prepared, weight, row, result);
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
