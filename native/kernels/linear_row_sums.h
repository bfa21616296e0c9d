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
#include <cstring>

#include "linear_row.h"
#include "words.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int64_t block_cols = nibbles_a_word * simd_width;
constexpr int64_t scales_at_a_time = 64;
constexpr int64_t padding = 16;  // a whole vector, and the groups of a whole block

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

// Half precision to float by its bits; subnormal halves too.
inline float float_of_half(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
  uint32_t bits;
  if (magnitude >= 0x7c00) {
    bits = 0x7f800000 | (magnitude & 0x3ff) << 13;
  } else if (magnitude >= 0x400) {
    bits = (magnitude << 13) + (112u << 23);
  } else {
    const float value = static_cast<float>(magnitude) * (1.0f / 16777216.0f);
    std::memcpy(&bits, &value, sizeof bits);
  }
  bits |= sign;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Scales first .. first + count of the matrix as floats, and zeros behind them.
inline void load_scales(const QuantizedMatrix& weight, int64_t first, int64_t count, float* scales) {
  if (weight.scale_is_half) {
    const uint16_t* halves = static_cast<const uint16_t*>(weight.scale) + first;
    int64_t i = 0;
    // The last vector begins earlier than its turn.
#if defined(LOWPEAK_AVX512) || defined(LOWPEAK_AVX2)
    for (; i < count && count >= 8; i += 8) {
      const int64_t at = std::min(i, count - 8);
      const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + at));
      _mm256_storeu_ps(scales + at, _mm256_cvtph_ps(eight));
    }
#elif defined(LOWPEAK_NEON)
    for (; i < count && count >= 4; i += 4) {
      const int64_t at = std::min(i, count - 4);
      vst1q_f32(scales + at, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves + at))));
    }
#endif
    for (; i < count; ++i) scales[i] = float_of_half(halves[i]);
  } else {
    std::copy_n(static_cast<const float*>(weight.scale) + first, count, scales);
  }
  for (int64_t i = 0; i < padding; i += simd_width) store(scales + count + i, set(0.0f));
}

// Sum of s (least + z) (sum x) of groups; `points` may be null. Reads scales and sums of x beyond the last group.
LOWPEAK_INLINE Vec offsets(const float* scales, const float* points, const float* sums, int64_t groups, float least) {
  Vec total = set(0.0f);
  const auto add = [&](int64_t i, Vec zero_point) {
    total = fma((zero_point + set(least)) * load(scales + i), load(sums + i), total);
  };
  int64_t i = 0;
  if (!points) {
    for (; i < groups; i += simd_width) add(i, set(0.0f));
    return total;
  }
  for (; i + simd_width <= groups; i += simd_width) add(i, load(points + i));
  if (i < groups) add(i, load_first(points + i, groups - i));
  return total;
}

template <int j>
LOWPEAK_INLINE void add_nibbles(Words words, const float* x, Vec (&sum)[2]) {
  sum[j % 2] = fma(nibble<j>(words), load(x + j * simd_width), sum[j % 2]);
}

template <int shared>
LOWPEAK_INLINE Vec add_block(Words words, const float* x, const float* scales, Vec total) {
  Vec sum[2] = {nibble<0>(words) * load(x), nibble<1>(words) * load(x + simd_width)};
  add_nibbles<2>(words, x, sum);
  add_nibbles<3>(words, x, sum);
  add_nibbles<4>(words, x, sum);
  add_nibbles<5>(words, x, sum);
  add_nibbles<6>(words, x, sum);
  add_nibbles<7>(words, x, sum);
  return fma(sum[0] + sum[1], spread<shared>(scales), total);
}

// x . the row; `shared`: lanes of one group.
template <int shared>
inline float sum_of_nibbles(const float* prepared, const QuantizedMatrix& weight, int64_t row) {
  constexpr int64_t groups_a_block = shared >= simd_width ? 1 : simd_width / shared;
  constexpr int64_t blocks_a_group = shared >= simd_width ? shared / simd_width : 1;
  constexpr int64_t blocks_at_a_time = scales_at_a_time / groups_a_block * blocks_a_group;
  const int64_t groups = weight.groups(), blocks = row_blocks(weight.cols);
  const int64_t whole = weight.cols / block_cols, rest = weight.cols % block_cols / nibbles_a_word;
  const uint8_t* data = weight.data + row * weight.row_bytes();
  const float* sums = prepared + ordered_floats(weight.cols, 4);
  Vec total = set(0.0f), offset = set(0.0f);
  float scales[scales_at_a_time + padding];
  for (int64_t first = 0; first < blocks; first += blocks_at_a_time) {
    const int64_t group = first / blocks_a_group * groups_a_block;
    const int64_t count = std::min(groups - group, scales_at_a_time);
    load_scales(weight, row * groups + group, count, scales);
    const float* points = weight.zero_point ? weight.zero_point + row * groups + group : nullptr;
    offset = offset + offsets(scales, points, sums + group, count, 8.0f);
    const int64_t last = std::min({blocks, whole, first + blocks_at_a_time});
    const float* x = prepared + first * block_cols;
    int64_t block = first;
    for (; block < last; ++block, x += block_cols) {
      const int64_t of = (block - first) / blocks_a_group * groups_a_block;
      total = add_block<shared>(load_words(data + block * block_cols / 2), x, scales + of, total);
    }
    if (block == whole && rest > 0 && block < first + blocks_at_a_time) {
      const int64_t of = (block - first) / blocks_a_group * groups_a_block;
      total = add_block<shared>(load_first_words(data + block * block_cols / 2, rest), x, scales + of, total);
    }
  }
  return reduce_add(total - offset);
}

inline float sum_of_bytes(const float* prepared, const QuantizedMatrix& weight, int64_t row) {
  const int64_t groups = weight.groups(), size = weight.group_size;
  const uint8_t* data = weight.data + row * weight.row_bytes();
  const float* sums = prepared + weight.cols;
  Vec total[2] = {set(0.0f), set(0.0f)}, offset = set(0.0f);
  float scales[scales_at_a_time + padding];
  for (int64_t first = 0; first < groups; first += scales_at_a_time) {
    const int64_t count = std::min(groups - first, scales_at_a_time);
    load_scales(weight, row * groups + first, count, scales);
    if (weight.zero_point) {
      const float* points = weight.zero_point + row * groups + first;
      offset = offset + offsets(scales, points, sums + first, count, 0.0f);
    }
    const float* x = prepared + first * size;
    const uint8_t* bytes = data + first * size;
    for (int64_t i = 0; i < count; ++i) {
      Vec sum[2] = {set(0.0f), set(0.0f)};
      // 32, 64 or 128 columns.
      for (int64_t col = 0; col < size; col += 2 * simd_width, x += 2 * simd_width, bytes += 2 * simd_width) {
        sum[0] = fma(signed_bytes(bytes), load(x), sum[0]);
        sum[1] = fma(signed_bytes(bytes + simd_width), load(x + simd_width), sum[1]);
      }
      total[i % 2] = fma(sum[0] + sum[1], set(scales[i]), total[i % 2]);
    }
  }
  return reduce_add(total[0] + total[1] - offset);
}

inline float sum_of_row(const float* prepared, const QuantizedMatrix& weight, int64_t row) {
  if (weight.bits == 8) return sum_of_bytes(prepared, weight, row);
  switch (weight.group_size) {
    case 32:
      return sum_of_nibbles<32 / nibbles_a_word>(prepared, weight, row);
    case 64:
      return sum_of_nibbles<64 / nibbles_a_word>(prepared, weight, row);
    default:
      return sum_of_nibbles<128 / nibbles_a_word>(prepared, weight, row);
  }
}

inline void multiply_rows(const float* prepared, const QuantizedMatrix& weight, const float* bias, int64_t begin,
                          int64_t end, bool accumulate, float* y) {
  for (int64_t row = begin; row < end; ++row) {
    const float sum = sum_of_row(prepared, weight, row) + (bias ? bias[row] : 0.0f);
    y[row] = accumulate ? y[row] + sum : sum;
  }
}

inline float dot(const float* a, const float* b, int64_t count) {
  Vec sum[2] = {set(0.0f), set(0.0f)};
  int64_t i = 0;
  for (; i + 2 * simd_width <= count; i += 2 * simd_width) {
    sum[0] = fma(load(a + i), load(b + i), sum[0]);
    sum[1] = fma(load(a + i + simd_width), load(b + i + simd_width), sum[1]);
  }
  for (; i + simd_width <= count; i += simd_width) sum[0] = fma(load(a + i), load(b + i), sum[0]);
  if (i < count) sum[1] = fma(load_first(a + i, count - i), load_first(b + i, count - i), sum[1]);
  return reduce_add(sum[0] + sum[1]);
}

inline void multiply_dense_rows(const float* a, ConstMatrix b, float alpha, int64_t begin, int64_t end,
                                bool accumulate, float* c) {
  for (int64_t row = begin; row < end; ++row) {
    const float sum = alpha * dot(a, b.data + row * b.stride, b.cols);
    c[row] = accumulate ? c[row] + sum : sum;
  }
}

constexpr RowKernels row_table = {prepared_floats, prepare_row, multiply_rows, multiply_dense_rows};

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
