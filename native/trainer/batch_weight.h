// What a batch counts for among those whose gradients make one update.
#pragma once

#include <cstdint>

#include "trainer/batches.h"
#include "trainer/manifest.h"

namespace lowpeak::trainer {

// A language model's loss is the mean over the batch's labels: their number. Batches of a plain module count alike.
// Throws DataError for a batch without a label, which has no loss.
std::int64_t weight_of(const Batch& batch, const Bucket& bucket);

}  // namespace lowpeak::trainer
