// The files of batches in a folder, by their names: <first>-<end>.safetensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lowpeak::trainer {

// Batches `first` to `end` - 1 of a run.
struct BatchRange {
  std::int64_t first, end;

  std::string file() const;  // its name
};

// Those that are there, in their order; other files are left out. Throws SystemError.
std::vector<BatchRange> batch_ranges_in(const std::string& folder);

}  // namespace lowpeak::trainer
