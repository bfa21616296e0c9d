#include "batch_weight.h"

#include <algorithm>

#include "error.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTargets[] = "targets";
constexpr std::int64_t kNoLabel = -100;

}  // namespace

std::int64_t weight_of(const Batch& batch, const Bucket& bucket) {
  if (!bucket.tokens) return 1;
  for (std::size_t i = 0; i < bucket.inputs.size(); ++i) {
    if (bucket.inputs[i].name != kTargets) continue;
    const auto* targets = static_cast<const std::int64_t*>(batch.inputs[i]);
    const auto count = static_cast<std::int64_t>(bucket.inputs[i].elements());
    const std::int64_t labels = count - std::count(targets, targets + count, kNoLabel);
    if (labels == 0) throw data_error("the batch has no label behind the first token of a row: there is no loss to train on");
    return labels;
  }
  throw artifact_error("the program of a language model takes no targets");
}

}  // namespace lowpeak::trainer
