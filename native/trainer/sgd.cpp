#include "trainer/sgd.h"

namespace lowpeak::trainer {

void Sgd::update(float* parameter, const float* gradient, float* velocity, std::size_t count) const {
  const auto rate = static_cast<float>(-learning_rate);
  const auto decay = static_cast<float>(weight_decay);
  const auto keep = static_cast<float>(momentum);
  for (std::size_t i = 0; i < count; ++i) {
    float direction = decay == 0 ? gradient[i] : gradient[i] + decay * parameter[i];
    if (velocity != nullptr) direction = velocity[i] = velocity[i] * keep + direction;
    parameter[i] += rate * direction;
  }
}

}  // namespace lowpeak::trainer
