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

constexpr int64_t kBlockCols = kNibblesAWord * kSimdWidth;

inline int64_t row_blocks(int64_t cols) { return (cols + kBlockCols - 1) / kBlockCols; }

// Of x, before the sums of its groups, of which there is one for 32 columns at most.
inline int64_t ordered_floats(int64_t cols, int bits) { return bits == 4 ? row_blocks(cols) * kBlockCols : cols; }

inline int64_t prepared_floats(int64_t cols, int bits) { return ordered_floats(cols, bits) + cols / 32 + kPadding; }

inline void prepare_row(const float* x, const QuantizedMatrix& weight, float* prepared) {
  float* sums = prepared + ordered_floats(weight.cols, weight.bits);
  for (int64_t group = 0; group < weight.groups(); ++group, x += weight.group_size) {
    float sum = 0;
    for (int64_t i = 0; i < weight.group_size; ++i) sum += x[i];
    sums[group] = sum;
  }
  std::fill_n(sums + weight.groups(), kPadding, 0.0f);
  x -= weight.cols;
  if (weight.bits == 8) {
    std::copy_n(x, weight.cols, prepared);
    return;
  }
  for (int64_t block = 0; block < row_blocks(weight.cols); ++block) {
    for (int j = 0; j < kNibblesAWord; ++j) {
      for (int lane = 0; lane < kSimdWidth; ++lane) {
        // The even column of a byte is its high nibble.
        const int64_t col = block * kBlockCols + lane * kNibblesAWord + (j ^ 1);
        *prepared++ = col < weight.cols ? x[col] * (1.0f / nibble_factor(j)) : 0.0f;
      }
    }
  }
}

// sum[r] += nibbles j of words[r] . x
template <int j, int rows>
LOWPEAK_INLINE void add_nibbles(const Words (&words)[rows], const float* x, Vec (&sum)[rows]) {
  const Vec factor = load(x + j * kSimdWidth);
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
  constexpr int64_t kGroupsABlock = shared >= kSimdWidth ? 1 : kSimdWidth / shared;
  constexpr int64_t kBlocksAGroup = shared >= kSimdWidth ? shared / kSimdWidth : 1;
  constexpr int64_t kBlocksAtATime = kScalesAtATime / kGroupsABlock * kBlocksAGroup;
  const int64_t groups = weight.groups(), blocks = row_blocks(weight.cols), row_bytes = weight.row_bytes();
  const int64_t whole = weight.cols / kBlockCols, rest = weight.cols % kBlockCols / kNibblesAWord;
  const uint8_t* data = weight.data + row * row_bytes;
  const float* sums = prepared + ordered_floats(weight.cols, 4);
  Vec total[rows], offset[rows];
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) total[r] = offset[r] = set(0.0f);
  RowScales scales[rows];
  for (int64_t first = 0; first < blocks; first += kBlocksAtATime) {
    const int64_t group = first / kBlocksAGroup * kGroupsABlock;
    const int64_t count = std::min(groups - group, kScalesAtATime);
    LOWPEAK_UNROLL
    for (int r = 0; r < rows; ++r) {
      offset[r] =
          offset[r] + take_scales(weight, (row + r) * groups + group, count, 8.0f, sums + group, nullptr, scales[r]);
    }
    const int64_t last = std::min(whole, first + kBlocksAtATime);
    const float* x = prepared + first * kBlockCols;
    int64_t block = first;
    Words words[rows];
    for (; block < last; ++block, x += kBlockCols) {
      const uint8_t* bytes = data + block * (kBlockCols / 2);
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) {
        prefetch_ahead(bytes + r * row_bytes);
        words[r] = load_words(bytes + r * row_bytes);
      }
      add_block<shared>(words, x, scales, (block - first) / kBlocksAGroup * kGroupsABlock, total);
    }
    if (block == whole && rest > 0 && block < first + kBlocksAtATime) {
      const uint8_t* bytes = data + block * (kBlockCols / 2);
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r) words[r] = load_first_words(bytes + r * row_bytes, rest);
      add_block<shared>(words, x, scales, (block - first) / kBlocksAGroup * kGroupsABlock, total);
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
  for (int64_t first = 0; first < groups; first += kScalesAtATime) {
    const int64_t count = std::min(groups - first, kScalesAtATime);
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
      for (int64_t col = 0; col < size; col += 2 * kSimdWidth, x += 2 * kSimdWidth, bytes += 2 * kSimdWidth) {
        const Vec factor[2] = {load(x), load(x + kSimdWidth)};
        LOWPEAK_UNROLL
        for (int r = 0; r < rows; ++r) {
          prefetch_ahead(bytes + r * row_bytes);
          sum[r] = fma(signed_bytes(bytes + r * row_bytes), factor[0], sum[r]);
          sum[r] = fma(signed_bytes(bytes + r * row_bytes + kSimdWidth), factor[1], sum[r]);
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
    case 32: return sums_of_nibbles<32 / kNibblesAWord, rows>(prepared, weight, row, result);
    case 64: return sums_of_nibbles<64 / kNibblesAWord, rows>(prepared, weight, row, result);
    default: return sums_of_nibbles<128 / kNibblesAWord, rows>(prepared, weight, row, result);
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
