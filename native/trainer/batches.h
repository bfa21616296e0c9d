// The batches of a run: a safetensors file, read when a step needs them.
//
//     buckets      int64 [batches]                  the bucket of each
//     <i>.<input>  [batches of bucket i, *shape]    in the order of the steps
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "manifest.h"
#include "safetensors.h"

namespace lowpeak::trainer {

struct Batch {
  std::size_t bucket;
  std::vector<const void*> inputs;  // where they lie, in the program's order
};

class Batches {
 public:
  // Throws DataError when an input is missing or of another shape or dtype than the bucket's program takes, or the
  // file has fewer than `count` batches.
  Batches(const std::string& path, const std::vector<Bucket>& buckets, std::int64_t count);

  // The bucket of the first batch, if there is one.
  std::size_t first_bucket() const { return places_.empty() ? 0 : places_.front().bucket; }

  // The pages of the one before are given back: a long run holds no more of the file than a short one.
  Batch at(std::int64_t index) const;

 private:
  struct Input {
    const std::uint8_t* data;
    std::size_t bytes;  // a batch
  };
  struct Place {
    std::size_t bucket, row;
  };

  Input input(const TensorRecord& record, const std::string& name, std::size_t count) const;

  SafetensorsFile file_;
  std::vector<Place> places_;
  std::vector<std::vector<Input>> inputs_;  // by bucket; none for one without batches
};

}  // namespace lowpeak::trainer
