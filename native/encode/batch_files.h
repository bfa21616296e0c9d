// Batches written as trainer/batches.h reads them, file by file: the very bytes of
// lowpeak_runtime/data/batch_file.py's. They hold the user's text: mode 0600.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "encode/batch_shape.h"
#include "encode/batch_stream.h"

namespace lowpeak::encode {

class BatchFiles {
 public:
  // `first`: the number of the first batch in the run. Makes the folder if it is not there. Throws EnvironmentProblem,
  // and DataError if it holds batches that are not those before the first.
  BatchFiles(const std::string& folder, const std::vector<BatchShape>& buckets, std::int64_t first);
  BatchFiles(const BatchFiles&) = delete;

  // Without `finish` nothing is left of what was written.
  ~BatchFiles();

  // For so many batches, of the shortest sequences. Throws EnvironmentProblem.
  void require_room(std::int64_t count) const;

  // Writes a file once it has a megabyte. Throws EnvironmentProblem when the disk has no room.
  void add(Batch batch);
  void finish();  // writes what is left

 private:
  void write();
  std::int64_t bytes_of(const Batch& batch) const;

  const std::string folder_;
  const std::vector<BatchShape>& buckets_;
  std::int64_t first_;
  std::int64_t bytes_ = 0;
  std::vector<Batch> batches_;
  bool made_folder_ = false, finished_ = false;
  std::vector<std::string> written_;
};

}  // namespace lowpeak::encode
