// What an instruction set provides of RMSNorm, rotary embedding and SwiGLU: the work on the tokens [begin, end).
#pragma once

#include "kernels/elementwise/rms_norm.h"
#include "kernels/elementwise/rotary.h"
#include "kernels/elementwise/swiglu.h"

namespace lowpeak {

struct ElementwiseKernels {
  void (*rms_norm_forward)(const RmsNormForward& arguments, int64_t begin, int64_t end);
  void (*rms_norm_backward)(const RmsNormBackward& arguments, int64_t begin, int64_t end);
  void (*rotary_forward)(const Rotary& arguments, int64_t begin, int64_t end);
  void (*rotary_backward)(const Rotary& arguments, int64_t begin, int64_t end);
  void (*swiglu_forward)(const SwigluForward& arguments, int64_t begin, int64_t end);
  void (*swiglu_backward)(const SwigluBackward& arguments, int64_t begin, int64_t end);
  // For tests of exponential.h: out[i] = e^in[i].
  void (*exp)(const float* in, float* out, int64_t count);
};

extern const ElementwiseKernels kGenericElementwiseKernels;
extern const ElementwiseKernels kAvx2ElementwiseKernels;
extern const ElementwiseKernels kAvx512ElementwiseKernels;
extern const ElementwiseKernels kNeonElementwiseKernels;

// The kernels of `isa`, for which has_isa() must hold.
const ElementwiseKernels& elementwise_kernels(Isa isa);

}  // namespace lowpeak
