// Told which part of a weight matrix has been read, so that whoever holds its bytes can give them back.
#pragma once

#include <functional>

#include "kernels/linear/quantized.h"

namespace lowpeak {

// Called when a kernel will not read these rows again soon, by any of its threads. May be empty.
using Used = std::function<void(const QuantizedMatrix& rows)>;

}  // namespace lowpeak
