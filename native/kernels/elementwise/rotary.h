// Rotary position embedding (Su et al. 2021) in the convention of Hugging Face's Llama: rotate_half.
#pragma once

#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/simd/cpu.h"
#include "kernels/tensors.h"

namespace lowpeak {

// forward: out = x * cos + rotate_half(x) * sin with rotate_half([a, b]) = [-b, a]; backward: x is the gradient of
// the forward's out, out that of its x.
//
// dim is even. Where only the first dims of a head rotate, `dim` is their number and out may be x.
struct Rotary {
  int64_t heads, tokens, dim;
  Heads<const float> x;
  Rows<const float> cos, sin;  // [tokens, dim]
  Heads<float> out;            // may be x
};

void rotary_forward(const Rotary& arguments, Parallel& parallel, Isa isa = best_isa());
void rotary_backward(const Rotary& arguments, Parallel& parallel, Isa isa = best_isa());

}  // namespace lowpeak
