// exp and sigmoid on vectors.
#pragma once

#include <limits>

#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

// Below it e^x is no normal float.
constexpr float kLowestExponent = -87.336544f;

// e^x for x < 88 or NaN, relative error about 1e-7. Results below the smallest normal float are 0.
//
// x = n ln 2 + r, |r| <= ln 2 / 2; the polynomial in r is that of Cephes' expf.
LOWPEAK_INLINE Vec exp_below_88(Vec x) {
  const Vec bounded = max(set(kLowestExponent), x);
  const Vec n = round(bounded * set(1.44269504088896341f));
  Vec r = fma(n, set(-0.693359375f), bounded);
  r = fma(n, set(2.12194440e-4f), r);
  Vec p = set(1.9875691500e-4f);
  p = fma(p, r, set(1.3981999507e-3f));
  p = fma(p, r, set(8.3334519073e-3f));
  p = fma(p, r, set(4.1665795894e-2f));
  p = fma(p, r, set(1.6666665459e-1f));
  p = fma(p, r, set(5.0000001201e-1f));
  p = fma(p, r * r, r + set(1.0f));
  return select(x < set(kLowestExponent), set(0.0f), add_exponent(p, n));
}

// e^x for every x; infinity where it is no float.
LOWPEAK_INLINE Vec exp(Vec x) {
  const Vec highest = set(88.722835f);
  const Vec result = exp_below_88(min(highest, x));
  return select(highest < x, set(std::numeric_limits<float>::infinity()), result);
}

// 1 / (1 + e^-x)
LOWPEAK_INLINE Vec sigmoid(Vec x) { return set(1.0f) / (set(1.0f) + exp(set(0.0f) - x)); }

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
