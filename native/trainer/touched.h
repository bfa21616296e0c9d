// Told that a tensor will not be used again soon, so that its pages can leave this process.
#pragma once

#include <functional>

namespace lowpeak::trainer {

// Called after each tensor, by what goes through many.
using Touched = std::function<void()>;

}  // namespace lowpeak::trainer
