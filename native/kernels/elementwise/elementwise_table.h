// The kernels of this translation unit's instruction set.
#pragma once

#include "kernels/elementwise/elementwise_rows.h"
#include "kernels/elementwise/rms_norm_rows.h"
#include "kernels/elementwise/rotary_rows.h"
#include "kernels/elementwise/swiglu_rows.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

inline void exp_row(const float* in, float* out, int64_t count) {
  each_vector(count, [&](int64_t i, auto lanes) { lanes.store(out + i, exp(lanes.load(in + i))); });
}

constexpr ElementwiseKernels kElementwiseTable = {rms_norm_forward_rows,
                                                  rms_norm_backward_rows,
                                                  rotary_rows<false>,
                                                  rotary_rows<true>,
                                                  swiglu_forward_rows,
                                                  swiglu_backward_rows,
                                                  exp_row};

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
