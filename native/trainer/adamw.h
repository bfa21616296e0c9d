// AdamW (Loshchilov and Hutter 2019), in the order of operations of torch.optim's loop over tensors.
#pragma once

#include <cstddef>

namespace lowpeak::trainer {

struct AdamW {
  double learning_rate, beta1, beta2, epsilon, weight_decay;

  // `step`: this update's number, from 1. `mean` and `square` are the gradients' running means.
  void update(float* parameter, const float* gradient, float* mean, float* square, std::size_t count,
              double step) const;
};

}  // namespace lowpeak::trainer
