// A trained tensor, or its gradient: float32 elements that lie where the program has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lowpeak::trainer {

struct TensorView {
  std::string name;
  std::vector<std::int64_t> shape;
  float* data;
  std::size_t count;

  std::size_t bytes() const { return count * sizeof(float); }
};

}  // namespace lowpeak::trainer
