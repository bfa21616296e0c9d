// Sums over the columns of a quantized row by 8-bit products, for AVX-512 with VNNI; see linear_row.h.
//
// In each group x is an integer of 24 bits times a scale of the group: as exact as float32 for the group's largest
// value, and no value is further off than that one. The integer's three bytes, its digits, are multiplied by the
// weights one after the other, all of it exactly: the most significant digit has a sign, the others have none.
//
// A block is 16 words of 32 bits: 128 columns of 4 bits or 64 of 8. Its digits are, most significant first,
//
//     4 bits    64 bytes of the even columns, the high nibbles, then 64 of the odd ones
//     8 bits    64 bytes; and before them, as 16 words, -128 times the sums of the first digit, since a product
//               with signs on both sides is none: it takes the weight + 128
//
// After the blocks lie the scales of the groups, and the sums of x in them.
#pragma once

#include <algorithm>

#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_row.h"
#include "kernels/linear/linear_row_scales.h"
#include "kernels/linear/words.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr float kGreatestInteger = 127 * 65536.0f;
constexpr int64_t kVectorBytes = 64;
constexpr int kFourTimes128 = static_cast<int>(0x80808080u);
constexpr int64_t block_bytes(int bits) { return bits == 4 ? 6 * kVectorBytes : 4 * kVectorBytes; }
constexpr int64_t block_columns(int bits) { return 8 * kVectorBytes / bits; }

inline int64_t row_blocks(int64_t cols, int bits) { return (cols + block_columns(bits) - 1) / block_columns(bits); }

inline int64_t digit_floats(int64_t cols, int bits) {
  return row_blocks(cols, bits) * block_bytes(bits) / static_cast<int64_t>(sizeof(float));
}

inline int64_t prepared_floats(int64_t cols, int bits) { return digit_floats(cols, bits) + 2 * (cols / 32 + kPadding); }

inline void store_16(uint8_t* p, __m128i bytes) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes); }

// The digits of 32 columns, from column `col` on.
inline void store_digits(__m512i low, __m512i high, int bits, int64_t col, uint8_t* digits) {
  uint8_t* block = digits + col / block_columns(bits) * block_bytes(bits);
  const int64_t in_block = col % block_columns(bits);
  if (bits == 4) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    const __m512i even = _mm512_permutex2var_epi32(low, evens, high), odd = _mm512_permutex2var_epi32(low, odds, high);
    uint8_t* out = block + in_block / 2;
    store_16(out, _mm512_cvtepi32_epi8(_mm512_srli_epi32(even, 16)));
    store_16(out + kVectorBytes, _mm512_cvtepi32_epi8(_mm512_srli_epi32(odd, 16)));
    store_16(out + 2 * kVectorBytes, _mm512_cvtepi32_epi8(_mm512_srli_epi32(even, 8)));
    store_16(out + 3 * kVectorBytes, _mm512_cvtepi32_epi8(_mm512_srli_epi32(odd, 8)));
    store_16(out + 4 * kVectorBytes, _mm512_cvtepi32_epi8(even));
    store_16(out + 5 * kVectorBytes, _mm512_cvtepi32_epi8(odd));
    return;
  }
  uint8_t* out = block + kVectorBytes + in_block;
  for (int digit = 2; digit >= 0; --digit, out += kVectorBytes) {
    const unsigned down = 8 * static_cast<unsigned>(digit);
    store_16(out, _mm512_cvtepi32_epi8(_mm512_srli_epi32(low, down)));
    store_16(out + 16, _mm512_cvtepi32_epi8(_mm512_srli_epi32(high, down)));
  }
}

inline __m512i load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }

inline void prepare_row(const float* x, const QuantizedMatrix& weight, float* prepared) {
  const int64_t groups = weight.groups(), blocks = row_blocks(weight.cols, weight.bits);
  uint8_t* digits = reinterpret_cast<uint8_t*>(prepared);
  float* x_scales = prepared + digit_floats(weight.cols, weight.bits);
  float* sums = x_scales + groups + kPadding;
  if (blocks > 0) std::fill_n(digits + (blocks - 1) * block_bytes(weight.bits), block_bytes(weight.bits), uint8_t{0});
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t first = group * weight.group_size, end = first + weight.group_size;
    Vec sum = set(0.0f), greatest = set(1e-30f);
    for (int64_t col = first; col < end; col += kSimdWidth) {
      const Vec values = load(x + col);
      sum = sum + values;
      greatest = max(greatest, {_mm512_abs_ps(values.value)});
    }
    sums[group] = reduce_add(sum);
    // What is not finite stays so.
    x_scales[group] = _mm512_reduce_max_ps(greatest.value) * (1.0f / kGreatestInteger) + 0.0f * sums[group];
    const Vec factor = set(1.0f / x_scales[group]);
    for (int64_t col = first; col < end; col += 2 * kSimdWidth) {
      const __m512i low = _mm512_cvtps_epi32((load(x + col) * factor).value);
      const __m512i high = _mm512_cvtps_epi32((load(x + col + kSimdWidth) * factor).value);
      store_digits(low, high, weight.bits, col, digits);
    }
  }
  std::fill_n(x_scales + groups, kPadding, 0.0f);
  std::fill_n(sums + groups, kPadding, 0.0f);
  if (weight.bits == 8) {
    const __m512i zero = _mm512_setzero_si512();
    for (uint8_t* block = digits; block < digits + blocks * block_bytes(8); block += block_bytes(8)) {
      const __m512i first_digits = load_bytes(block + kVectorBytes);
      const __m512i sum = _mm512_dpbusd_epi32(zero, _mm512_set1_epi32(kFourTimes128), first_digits);
      _mm512_storeu_si512(block, _mm512_sub_epi32(zero, sum));
    }
  }
}

// total[r] += scale . the products of a block; of scales, each is that of `shared` neighbouring words.
template <int bits, int shared, int rows>
LOWPEAK_INLINE void add_block(const Words (&words)[rows], const uint8_t* x, const RowScales* scales, int64_t group,
                              Vec (&total)[rows]) {
  __m512i digits[6];
  LOWPEAK_UNROLL
  for (int i = 0; i < block_bytes(bits) / kVectorBytes; ++i) digits[i] = load_bytes(x + i * kVectorBytes);
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) {
    Vec sum;
    if (bits == 4) {
      const __m512i nibble = _mm512_set1_epi32(0x0f0f0f0f);
      const __m512i even = _mm512_and_si512(_mm512_srli_epi32(words[r].value, 4), nibble);
      const __m512i odd = _mm512_and_si512(words[r].value, nibble);
      __m512i all = _mm512_dpbusd_epi32(_mm512_setzero_si512(), even, digits[0]);
      all = _mm512_slli_epi32(_mm512_dpbusd_epi32(all, odd, digits[1]), 8);
      all = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(all, digits[2], even), digits[3], odd);
      all = _mm512_slli_epi32(all, 8);
      all = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(all, digits[4], even), digits[5], odd);
      sum = {_mm512_cvtepi32_ps(all)};
    } else {
      const __m512i with_128 = _mm512_xor_si512(words[r].value, _mm512_set1_epi32(kFourTimes128));
      const __m512i high = _mm512_dpbusd_epi32(digits[0], with_128, digits[1]);
      __m512i low = _mm512_dpbusd_epi32(_mm512_setzero_si512(), digits[2], words[r].value);
      low = _mm512_dpbusd_epi32(_mm512_slli_epi32(low, 8), digits[3], words[r].value);
      sum = fma({_mm512_cvtepi32_ps(high)}, set(65536.0f), {_mm512_cvtepi32_ps(low)});
    }
    total[r] = fma(sum, spread<shared>(scales[r].values + group), total[r]);
  }
}

// x . the rows from `row` on.
template <int bits, int shared, int rows>
inline void sums_of_rows(const float* prepared, const QuantizedMatrix& weight, int64_t row, float* result) {
  constexpr int64_t kGroupsABlock = shared >= kSimdWidth ? 1 : kSimdWidth / shared;
  constexpr int64_t kBlocksAGroup = shared >= kSimdWidth ? shared / kSimdWidth : 1;
  constexpr int64_t kBlocksAtATime = kScalesAtATime / kGroupsABlock * kBlocksAGroup;
  const int64_t groups = weight.groups(), blocks = row_blocks(weight.cols, bits), row_bytes = weight.row_bytes();
  const int64_t whole = row_bytes / kVectorBytes, rest = row_bytes % kVectorBytes / 4;
  const uint8_t* digits = reinterpret_cast<const uint8_t*>(prepared);
  const float* x_scales = prepared + digit_floats(weight.cols, bits);
  const float* sums = x_scales + groups + kPadding;
  Vec total[rows], offset[rows];
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) total[r] = offset[r] = set(0.0f);
  RowScales scales[rows];
  for (int64_t first = 0; first < blocks; first += kBlocksAtATime) {
    const int64_t group = first / kBlocksAGroup * kGroupsABlock;
    const int64_t count = std::min(groups - group, kScalesAtATime);
    LOWPEAK_UNROLL
    for (int r = 0; r < rows; ++r) {
      offset[r] = offset[r] + take_scales(weight, (row + r) * groups + group, count, bits == 4 ? 8.0f : 0.0f,
                                          sums + group, x_scales + group, scales[r]);
    }
    const int64_t end = std::min(blocks, first + kBlocksAtATime);
    for (int64_t block = first; block < end; ++block) {
      const uint8_t* bytes = weight.data + row * row_bytes + block * kVectorBytes;
      Words words[rows];
      LOWPEAK_UNROLL
      for (int r = 0; r < rows; ++r, bytes += row_bytes) {
        prefetch_ahead(bytes);
        words[r] = block < whole ? load_words(bytes) : load_first_words(bytes, rest);
      }
      const int64_t of = (block - first) / kBlocksAGroup * kGroupsABlock;
      add_block<bits, shared>(words, digits + block * block_bytes(bits), scales, of, total);
    }
  }
  LOWPEAK_UNROLL
  for (int r = 0; r < rows; ++r) result[r] = reduce_add(total[r] - offset[r]);
}

template <int rows>
inline void sums_of_rows(const float* prepared, const QuantizedMatrix& weight, int64_t row, float* result) {
  if (weight.bits == 4) {
    if (weight.group_size == 32) return sums_of_rows<4, 4, rows>(prepared, weight, row, result);
    if (weight.group_size == 64) return sums_of_rows<4, 8, rows>(prepared, weight, row, result);
    return sums_of_rows<4, 16, rows>(prepared, weight, row, result);
  }
  if (weight.group_size == 32) return sums_of_rows<8, 8, rows>(prepared, weight, row, result);
  if (weight.group_size == 64) return sums_of_rows<8, 16, rows>(prepared, weight, row, result);
  return sums_of_rows<8, 32, rows>(prepared, weight, row, result);
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
