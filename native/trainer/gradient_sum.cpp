#include "gradient_sum.h"

#include "scratch_file.h"

namespace lowpeak::trainer {

GradientSum::GradientSum(const std::vector<TensorView>& gradients, std::int64_t batches, const std::string& folder)
    : batches_(batches) {
  std::size_t elements = 0;
  for (const TensorView& gradient : gradients) elements += gradient.count;
  if (batches > 1) mapping_ = scratch_file(folder, elements * sizeof(float), "the gradients' sum");
}

void GradientSum::add(const std::vector<TensorView>& gradients, const Touched& touched) {
  if (batches_ == 1) return;
  const bool first = added_ == 0, last = added_ == batches_ - 1;
  const auto count = static_cast<float>(batches_);
  auto* sum = reinterpret_cast<float*>(mapping_.data());
  for (std::size_t tensor = 0; tensor < gradients.size(); ++tensor) {
    const TensorView& gradient = gradients[tensor];
    read_after(gradients, tensor);
    read_ahead(sum, gradient.bytes());
    for (std::size_t i = 0; i < gradient.count; ++i) {
      const float total = first ? gradient.data[i] : sum[i] + gradient.data[i];
      (last ? gradient.data : sum)[i] = last ? total / count : total;
    }
    sum += gradient.count;
    mapping_.release();
    touched();
  }
  added_ = last ? 0 : added_ + 1;
}

}  // namespace lowpeak::trainer
