// Gradients' global norm, and clipping by it.
#pragma once

#include <vector>

#include "trainer/tensor_view.h"
#include "trainer/touched.h"

namespace lowpeak::trainer {

// The common 2-norm of all gradients; finite if they are.
double norm_of(const std::vector<TensorView>& gradients, const Touched& touched);

// Scales all gradients by limit / norm where their norm is larger than the limit.
void clip(const std::vector<TensorView>& gradients, double norm, double limit, const Touched& touched);

}  // namespace lowpeak::trainer
