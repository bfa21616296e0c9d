#include "trainer/batch_weight.h"

#include <algorithm>

#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTargets[] = "targets";
constexpr std::int64_t kNoLabel = -100;

std::int64_t unlabelled(const void* targets, std::int64_t count, const std::string& dtype) {
  const auto in = [count](const auto* first) { return std::count(first, first + count, kNoLabel); };
  if (dtype == "int64") return in(static_cast<const std::int64_t*>(targets));
  if (dtype == "int32") return in(static_cast<const std::int32_t*>(targets));
  throw artifact_error("manifest.json: targets are " + dtype + ", not int64 or int32");
}

}  // namespace

std::int64_t weight_of(const Batch& batch, const Bucket& bucket) {
  if (!bucket.tokens) return 1;
  for (std::size_t i = 0; i < bucket.inputs.size(); ++i) {
    if (bucket.inputs[i].name != kTargets) continue;
    const auto count = static_cast<std::int64_t>(bucket.inputs[i].elements());
    const std::int64_t labels = count - unlabelled(batch.inputs[i], count, bucket.inputs[i].dtype);
    if (labels == 0)
      throw data_error("the batch has no label after the first token of a row: there is no loss to train on");
    return labels;
  }
  throw artifact_error("the program of a language model takes no targets");
}

}  // namespace lowpeak::trainer
