// The rotation of the tokens [begin, end), all heads.
#pragma once

#include "kernels/elementwise/rotary.h"
#include "kernels/simd/lanes.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

template <bool backward>
inline void rotary_rows(const Rotary& arguments, int64_t begin, int64_t end) {
  const int64_t half = arguments.dim / 2;
  for (int64_t token = begin; token < end; ++token) {
    const float *cos = arguments.cos.row(token), *sin = arguments.sin.row(token);
    for (int64_t head = 0; head < arguments.heads; ++head) {
      const float* x = arguments.x.row(head, token);
      float* out = arguments.out.row(head, token);
      each_vector(half, [&](int64_t i, auto lanes) {
        const Vec first = lanes.load(x + i), second = lanes.load(x + half + i);
        const Vec first_cos = first * lanes.load(cos + i), second_cos = second * lanes.load(cos + half + i);
        const Vec first_sin = lanes.load(sin + i), second_sin = lanes.load(sin + half + i);
        if (backward) {
          lanes.store(out + i, fma(second, second_sin, first_cos));
          lanes.store(out + half + i, second_cos - first * first_sin);
        } else {
          lanes.store(out + i, first_cos - second * first_sin);
          lanes.store(out + half + i, fma(first, second_sin, second_cos));
        }
      });
    }
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
