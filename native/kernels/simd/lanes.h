// Loops over a row in vectors; the last one may be shorter.
#pragma once

#include "kernels/simd/simd.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

struct AllLanes {
  LOWPEAK_INLINE Vec load(const float* p) const { return LOWPEAK_ISA::load(p); }
  LOWPEAK_INLINE void store(float* p, Vec a) const { LOWPEAK_ISA::store(p, a); }
};

struct FirstLanes {
  int64_t count;

  LOWPEAK_INLINE Vec load(const float* p) const { return load_first(p, count); }
  LOWPEAK_INLINE void store(float* p, Vec a) const { store_first(p, a, count); }
};

// Calls body(index, lanes) for the start of every vector of a row.
template <class Body>
LOWPEAK_INLINE void each_vector(int64_t width, const Body& body) {
  int64_t i = 0;
  for (; i + kSimdWidth <= width; i += kSimdWidth) body(i, AllLanes{});
  if (i < width) body(i, FirstLanes{width - i});
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
