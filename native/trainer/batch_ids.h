// Numbers of rows in a batch: kernels go where they say.
#pragma once

#include <vector>

#include "trainer/manifest.h"

namespace lowpeak::trainer {

// Throws DataError when an input of the bucket names a row that there is not.
void require_ids(const Bucket& bucket, const std::vector<const void*>& inputs);

}  // namespace lowpeak::trainer
