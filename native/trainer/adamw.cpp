#include "trainer/adamw.h"

#include <cmath>

namespace lowpeak::trainer {

void AdamW::update(float* parameter, const float* gradient, float* mean, float* square, std::size_t count,
                   double step) const {
  const auto decay = static_cast<float>(1 - learning_rate * weight_decay);
  const auto mean_weight = static_cast<float>(1 - beta1);
  const auto square_decay = static_cast<float>(beta2);
  const auto square_weight = static_cast<float>(1 - beta2);
  const auto root_scale = static_cast<float>(std::sqrt(1 - std::pow(beta2, step)));
  const auto step_size = static_cast<float>(-(learning_rate / (1 - std::pow(beta1, step))));
  const auto eps = static_cast<float>(epsilon);
  for (std::size_t i = 0; i < count; ++i) {
    const float g = gradient[i];
    mean[i] = mean_weight < 0.5f ? mean[i] + mean_weight * (g - mean[i]) : g - (g - mean[i]) * (1 - mean_weight);
    square[i] = square[i] * square_decay + square_weight * g * g;
    const float denominator = std::sqrt(square[i]) / root_scale + eps;
    parameter[i] = parameter[i] * decay + step_size * mean[i] / denominator;
  }
}

}  // namespace lowpeak::trainer
