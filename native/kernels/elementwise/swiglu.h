// silu(gate) * up (Shazeer 2020), silu(x) = x * sigmoid(x), and its gradients.
#pragma once

#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/simd/cpu.h"
#include "kernels/tensors.h"

namespace lowpeak {

struct SwigluForward {
  int64_t tokens, width;
  Rows<const float> gate, up;
  Rows<float> out;  // may be gate or up
};

void swiglu_forward(const SwigluForward& arguments, Parallel& parallel, Isa isa = best_isa());

struct SwigluBackward {
  int64_t tokens, width;
  Rows<const float> grad, gate, up;
  Rows<float> grad_gate, grad_up;  // may be any of grad, gate and up
};

void swiglu_backward(const SwigluBackward& arguments, Parallel& parallel, Isa isa = best_isa());

}  // namespace lowpeak
