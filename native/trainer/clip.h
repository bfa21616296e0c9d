// Clipping by the global norm.
#pragma once

#include <vector>

#include "tensor_view.h"
#include "touched.h"

namespace lowpeak::trainer {

// Scales all gradients by limit / norm where their common 2-norm is larger than the limit.
void clip(const std::vector<TensorView>& gradients, double limit, const Touched& touched);

}  // namespace lowpeak::trainer
