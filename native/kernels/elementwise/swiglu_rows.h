// SwiGLU of the tokens [begin, end).
#pragma once

#include "kernels/elementwise/swiglu.h"
#include "kernels/simd/exponential.h"
#include "kernels/simd/lanes.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

inline void swiglu_forward_rows(const SwigluForward& arguments, int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; ++token) {
    const float *gate = arguments.gate.row(token), *up = arguments.up.row(token);
    float* out = arguments.out.row(token);
    each_vector(arguments.width, [&](int64_t i, auto lanes) {
      const Vec g = lanes.load(gate + i);
      lanes.store(out + i, g * sigmoid(g) * lanes.load(up + i));
    });
  }
}

inline void swiglu_backward_rows(const SwigluBackward& arguments, int64_t begin, int64_t end) {
  const Vec one = set(1.0f);
  for (int64_t token = begin; token < end; ++token) {
    const float *grad = arguments.grad.row(token), *gate = arguments.gate.row(token), *up = arguments.up.row(token);
    float *grad_gate = arguments.grad_gate.row(token), *grad_up = arguments.grad_up.row(token);
    each_vector(arguments.width, [&](int64_t i, auto lanes) {
      const Vec g = lanes.load(gate + i), u = lanes.load(up + i), dy = lanes.load(grad + i);
      const Vec share = sigmoid(g);
      const Vec silu = g * share;
      lanes.store(grad_gate + i, dy * u * fma(silu, one - share, share));
      lanes.store(grad_up + i, dy * silu);
    });
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
