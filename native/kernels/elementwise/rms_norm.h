// RMSNorm with a frozen weight (Zhang and Sennrich 2019), and its gradient by the input.
#pragma once

#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/simd/cpu.h"
#include "kernels/tensors.h"

namespace lowpeak {

// out = x * root * weight with root = 1 / sqrt(mean(x^2) + epsilon), which is kept for the backward pass.
struct RmsNormForward {
  int64_t tokens, width;
  float epsilon;
  Rows<const float> x;
  const float* weight;  // [width]
  Rows<float> out;      // may be x
  float* root;          // [tokens]
};

void rms_norm_forward(const RmsNormForward& arguments, Parallel& parallel, Isa isa = best_isa());

// grad_x = root * (g - x * root^2 * mean(g * x)) + residual with g = grad * weight.
struct RmsNormBackward {
  int64_t tokens, width;
  Rows<const float> grad, x;
  const float* weight;         // [width]
  const float* root;           // [tokens]
  Rows<const float> residual;  // the gradient that goes around the norm; its data may be null
  Rows<float> grad_x;          // may be any of grad, x and residual
};

void rms_norm_backward(const RmsNormBackward& arguments, Parallel& parallel, Isa isa = best_isa());

}  // namespace lowpeak
