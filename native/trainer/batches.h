// The batches of a run: safetensors files in a folder, each of some batches that follow each other.
//
//     <first>-<end>.safetensors               batches `first` to `end` - 1 of the run, from 0
//         buckets      int64 [batches]                  the bucket of each
//         ends         int64 [batches]                  where each ends in the data's order, for checkpoints
//         <i>.<input>  [batches of bucket i, *shape]    in the order of the steps
//
// A file appears whole, by a rename. Where they are written while the run goes on (a streamed job), a byte on stdin
// tells of each, and the end of stdin that no more will come; such a file loses its name as it is opened, so that what
// is private in it does not outlive the run, however that ends.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "trainer/job.h"
#include "trainer/manifest.h"
#include "trainer/safetensors.h"

namespace lowpeak::trainer {

struct Batch {
  std::size_t bucket;
  std::vector<const void*> inputs;  // where they lie until the next batch is read, in the program's order
};

// One file of them.
class BatchFile {
 public:
  // Throws DataError when an input is missing or of another shape or dtype than the bucket's program takes, or the
  // file has fewer batches than its name says.
  BatchFile(const std::string& path, std::int64_t first, std::int64_t end, const std::vector<Bucket>& buckets);

  bool has(std::int64_t index) const { return first_ <= index && index < first_ + std::int64_t(places_.size()); }

  // Reads the batch into the memory given, of `batch_bytes` of its bucket. Throws DataError.
  Batch at(std::int64_t index, std::uint8_t* memory) const;

  std::size_t bucket(std::int64_t index) const { return place(index).bucket; }
  std::int64_t end(std::int64_t index) const { return ends_[static_cast<std::size_t>(index - first_)]; }

 private:
  struct Input {
    SafetensorsFile::Entry entry;
    std::size_t bytes;  // of a batch
  };
  struct Place {
    std::size_t bucket, row;
  };

  const Place& place(std::int64_t index) const { return places_[static_cast<std::size_t>(index - first_)]; }
  std::vector<std::int64_t> numbers(const char* name, std::int64_t count) const;
  Input input(const TensorRecord& record, const std::string& name, std::size_t count) const;
  void read(const SafetensorsFile::Entry& entry, void* to, std::size_t from, std::size_t bytes) const;

  const std::string path_;
  const std::int64_t first_;
  const SafetensorsFile file_;
  std::vector<std::int64_t> ends_;
  std::vector<Place> places_;
  std::vector<std::vector<Input>> inputs_;  // by bucket; none for one without batches
};

// What the inputs of a batch take in memory.
std::size_t batch_bytes(const Bucket& bucket);

class Batches {
 public:
  // Opens the file of the job's first batch. Throws DataError when it is not there, or another that is not still to
  // be written, and Error of kind ValueError for a job that no machine could count.
  Batches(const Job& job, const std::vector<Bucket>& buckets);

  // The bucket of the first batch, if there is one to train on.
  std::size_t first_bucket() const { return file_ ? file_->bucket(next_) : 0; }

  // None when it is interrupted while it waits for the batch, which is asked once a second.
  std::optional<Batch> at(std::int64_t index, const std::function<bool()>& interrupted);

  // Where the batch that was read last ends in the order of the data.
  std::int64_t end() const { return end_; }

  // There is no batch to go on with, and none will come.
  bool abandoned() const { return abandoned_; }

 private:
  bool open(std::int64_t index);

  const std::string folder_;
  const bool streamed_;
  const std::vector<Bucket>& buckets_;
  std::int64_t next_;
  std::int64_t end_ = 0;
  bool abandoned_ = false;
  std::optional<BatchFile> file_;  // one at a time: a long run holds no more of them than a short one
  Mapping memory_;                 // of one batch, which the plan has counted
};

}  // namespace lowpeak::trainer
