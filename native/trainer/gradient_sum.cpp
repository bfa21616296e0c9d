#include "trainer/gradient_sum.h"

#include "trainer/scratch_file.h"

namespace lowpeak::trainer {

GradientSum::GradientSum(const std::vector<TensorView>& gradients, std::int64_t batches, const std::string& folder)
    : batches_(batches) {
  std::size_t elements = 0;
  for (const TensorView& gradient : gradients) elements += gradient.count;
  if (batches > 1) mapping_ = scratch_file(folder, elements * sizeof(float), "the gradients' sum");
}

void GradientSum::add(const std::vector<TensorView>& gradients, std::int64_t weight, const Touched& touched) {
  if (batches_ == 1) return;
  const bool first = added_ == 0, last = added_ == batches_ - 1;
  weights_ = first ? weight : weights_ + weight;
  const auto factor = static_cast<float>(weight), all = static_cast<float>(weights_);
  auto* sum = reinterpret_cast<float*>(mapping_.data());
  for (std::size_t tensor = 0; tensor < gradients.size(); ++tensor) {
    const TensorView& gradient = gradients[tensor];
    read_after(gradients, tensor);
    read_ahead(sum, gradient.bytes());
    for (std::size_t i = 0; i < gradient.count; ++i) {
      const float weighted = factor * gradient.data[i];
      const float total = first ? weighted : sum[i] + weighted;
      (last ? gradient.data : sum)[i] = last ? total / all : total;
    }
    sum += gradient.count;
    mapping_.release();
    touched();
  }
  added_ = last ? 0 : added_ + 1;
}

}  // namespace lowpeak::trainer
