// The RowKernels of the instruction set that this is compiled for.
#pragma once

#include "kernels/simd/simd.h"
#if defined(LOWPEAK_AVX512)
#include "kernels/linear/linear_row_integers.h"
#else
#include "kernels/linear/linear_row_sums.h"
#endif

namespace lowpeak {
inline namespace LOWPEAK_ISA {

inline void multiply_rows(const float* prepared, const QuantizedMatrix& weight, const float* bias, int64_t begin,
                          int64_t end, bool accumulate, float* y) {
  for (int64_t row = begin; row < end;) {
    float sums[kRowsAtATime];
    const int64_t count = row + kRowsAtATime <= end ? kRowsAtATime : 1;
    if (count == 1) {
      sums_of_rows<1>(prepared, weight, row, sums);
    } else {
      sums_of_rows<kRowsAtATime>(prepared, weight, row, sums);
    }
    for (int64_t i = 0; i < count; ++i, ++row) {
      const float sum = sums[i] + (bias ? bias[row] : 0.0f);
      y[row] = accumulate ? y[row] + sum : sum;
    }
  }
}

inline float dot(const float* a, const float* b, int64_t count) {
  Vec sum[2] = {set(0.0f), set(0.0f)};
  int64_t i = 0;
  for (; i + 2 * kSimdWidth <= count; i += 2 * kSimdWidth) {
    sum[0] = fma(load(a + i), load(b + i), sum[0]);
    sum[1] = fma(load(a + i + kSimdWidth), load(b + i + kSimdWidth), sum[1]);
  }
  for (; i + kSimdWidth <= count; i += kSimdWidth) sum[0] = fma(load(a + i), load(b + i), sum[0]);
  if (i < count) sum[1] = fma(load_first(a + i, count - i), load_first(b + i, count - i), sum[1]);
  return reduce_add(sum[0] + sum[1]);
}

inline void multiply_dense_rows(const float* a, ConstMatrix b, float alpha, int64_t begin, int64_t end, bool accumulate,
                                float* c) {
  for (int64_t row = begin; row < end; ++row) {
    const float sum = alpha * dot(a, b.data + row * b.stride, b.cols);
    c[row] = accumulate ? c[row] + sum : sum;
  }
}

constexpr RowKernels kRowTable = {prepared_floats, prepare_row, multiply_rows, multiply_dense_rows};

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
