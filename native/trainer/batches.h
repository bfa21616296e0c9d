// The batches of a run: a safetensors file, by graph input [batches, *shape], read when a step needs them.
#pragma once

#include <string>
#include <vector>

#include "manifest.h"
#include "safetensors.h"

namespace lowpeak::trainer {

class Batches {
 public:
  // Throws DataError when an input is missing or of another shape or dtype than the program takes, or the file has
  // fewer than `count` batches.
  Batches(const std::string& path, const std::vector<TensorRecord>& inputs, std::int64_t count);

  // Where the inputs of a batch lie, in the program's order.
  std::vector<const void*> at(std::int64_t index) const;

 private:
  struct Input {
    const std::uint8_t* data;
    std::size_t bytes;  // a batch
  };

  SafetensorsFile file_;
  std::vector<Input> inputs_;
};

}  // namespace lowpeak::trainer
