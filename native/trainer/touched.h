// Going through many tensors that lie in mapped files: pages are asked for ahead, and leave this process after use.
#pragma once

#include <functional>
#include <vector>

#include "trainer/files.h"
#include "trainer/tensor_view.h"

namespace lowpeak::trainer {

// Called after each tensor, which will not be used again soon.
using Touched = std::function<void()>;

// Before tensor `index` is used: starts to read the one after it.
inline void read_after(const std::vector<TensorView>& tensors, std::size_t index) {
  if (index == 0 && !tensors.empty()) read_ahead(tensors[0].data, tensors[0].bytes());
  if (index + 1 < tensors.size()) read_ahead(tensors[index + 1].data, tensors[index + 1].bytes());
}

}  // namespace lowpeak::trainer
