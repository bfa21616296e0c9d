#include "trainer/clip.h"

#include <cmath>

namespace lowpeak::trainer {

double norm_of(const std::vector<TensorView>& gradients, const Touched& touched) {
  double squares = 0;
  for (std::size_t tensor = 0; tensor < gradients.size(); ++tensor) {
    const TensorView& gradient = gradients[tensor];
    read_after(gradients, tensor);
    for (std::size_t i = 0; i < gradient.count; ++i) {
      squares += static_cast<double>(gradient.data[i]) * static_cast<double>(gradient.data[i]);
    }
    touched();
  }
  return std::sqrt(squares);
}

void clip(const std::vector<TensorView>& gradients, double norm, double limit, const Touched& touched) {
  if (norm <= limit) return;
  const float factor = static_cast<float>(limit / norm);
  for (std::size_t tensor = 0; tensor < gradients.size(); ++tensor) {
    const TensorView& gradient = gradients[tensor];
    read_after(gradients, tensor);
    for (std::size_t i = 0; i < gradient.count; ++i) gradient.data[i] *= factor;
    touched();
  }
}

}  // namespace lowpeak::trainer
