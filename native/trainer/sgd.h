// Stochastic gradient descent, in the order of operations of torch.optim's loop over tensors.
#pragma once

#include <cstddef>

namespace lowpeak::trainer {

struct Sgd {
  double learning_rate, momentum, weight_decay;

  // `velocity`: null without momentum.
  void update(float* parameter, const float* gradient, float* velocity, std::size_t count) const;
};

}  // namespace lowpeak::trainer
