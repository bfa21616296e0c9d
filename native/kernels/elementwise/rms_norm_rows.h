// RMSNorm of the tokens [begin, end).
#pragma once

#include <cmath>

#include "kernels/elementwise/rms_norm.h"
#include "kernels/simd/lanes.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

// The sum of term(index, lanes) over a row. Two sums, so that additions need not wait for each other.
template <class Term>
LOWPEAK_INLINE float sum_row(int64_t width, const Term& term) {
  Vec even = set(0.0f), odd = set(0.0f);
  each_vector(width, [&](int64_t i, auto lanes) {
    const Vec sum = even + term(i, lanes);
    even = odd;
    odd = sum;
  });
  return reduce_add(even + odd);
}

inline void rms_norm_forward_rows(const RmsNormForward& arguments, int64_t begin, int64_t end) {
  const int64_t width = arguments.width;
  for (int64_t token = begin; token < end; ++token) {
    const float* x = arguments.x.row(token);
    float* out = arguments.out.row(token);
    const float squares = sum_row(width, [&](int64_t i, auto lanes) {
      const Vec value = lanes.load(x + i);
      return value * value;
    });
    const float root = 1.0f / std::sqrt(squares / static_cast<float>(width) + arguments.epsilon);
    arguments.root[token] = root;
    each_vector(width, [&](int64_t i, auto lanes) {
      lanes.store(out + i, lanes.load(x + i) * set(root) * lanes.load(arguments.weight + i));
    });
  }
}

inline void rms_norm_backward_rows(const RmsNormBackward& arguments, int64_t begin, int64_t end) {
  const int64_t width = arguments.width;
  const float* weight = arguments.weight;
  for (int64_t token = begin; token < end; ++token) {
    const float *grad = arguments.grad.row(token), *x = arguments.x.row(token);
    const float* residual = arguments.residual.data == nullptr ? nullptr : arguments.residual.row(token);
    float* grad_x = arguments.grad_x.row(token);
    const float along = sum_row(width, [&](int64_t i, auto lanes) {
      return lanes.load(grad + i) * lanes.load(weight + i) * lanes.load(x + i);
    });
    const float root = arguments.root[token];
    const Vec factor = set(root), back = set(-root * root * root * along / static_cast<float>(width));
    each_vector(width, [&](int64_t i, auto lanes) {
      const Vec straight = lanes.load(grad + i) * lanes.load(weight + i) * factor;
      const Vec sum = fma(lanes.load(x + i), back, straight);
      lanes.store(grad_x + i, residual == nullptr ? sum : sum + lanes.load(residual + i));
    });
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
