#include "trainer/batches.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "trainer/batch_ranges.h"
#include "trainer/error.h"
#include "trainer/json.h"

namespace lowpeak::trainer {
namespace {

constexpr int kWaitMilliseconds = 1000;
constexpr std::size_t kAlignment = 16;  // of an input

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

SafetensorsFile opened(const std::string& path) {
  try {
    return SafetensorsFile(path);
  } catch (const std::exception& error) {
    throw data_error("the batches in " + path + " cannot be read: " + error.what());
  }
}

std::vector<BatchRange> ranges_in(const std::string& folder) {
  try {
    return batch_ranges_in(folder);
  } catch (const SystemError& error) {
    throw data_error("the batches in " + folder + " cannot be read: " + error.what());
  }
}

// Waits a while for a word that there is another file; false when there will be none.
bool told_of_more() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  // A signal ends it: the caller looks whether that was a wish to stop.
  if (::poll(&input, 1, kWaitMilliseconds) <= 0) return true;
  char words[1 << 12];
  return ::read(STDIN_FILENO, words, sizeof words) != 0;
}

}  // namespace

BatchFile::BatchFile(const std::string& path, std::int64_t first, std::int64_t end, const std::vector<Bucket>& buckets)
    : path_(path), first_(first), file_(opened(path)), ends_(numbers("ends", end - first)) {
  std::vector<std::size_t> counts(buckets.size());
  for (const std::int64_t chosen : numbers("buckets", end - first)) {
    if (chosen < 0 || static_cast<std::size_t>(chosen) >= buckets.size()) {
      throw data_error("batch " + std::to_string(first + std::int64_t(places_.size())) + " is of bucket " +
                       std::to_string(chosen) + ", the artifact has " + std::to_string(buckets.size()));
    }
    const auto bucket = static_cast<std::size_t>(chosen);
    places_.push_back({bucket, counts[bucket]++});
  }
  inputs_.resize(buckets.size());
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (counts[i] == 0) continue;
    for (const TensorRecord& record : buckets[i].inputs) {
      inputs_[i].push_back(input(record, std::to_string(i) + "." + record.name, counts[i]));
    }
  }
}

std::vector<std::int64_t> BatchFile::numbers(const char* name, std::int64_t count) const {
  const auto entry = file_.entries().find(name);
  if (entry == file_.entries().end() || entry->second.shape.size() != 1 ||
      std::string(entry->second.dtype->name) != "int64") {
    throw data_error("the batches in " + path_ + " have no " + name + ": int64 [batches]");
  }
  if (entry->second.shape[0] != count) {
    throw data_error(path_ + " has " + std::to_string(entry->second.shape[0]) + " " + name +
                     ", by its name it should have " + std::to_string(count));
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  read(entry->second, values.data(), 0, values.size() * sizeof values[0]);
  return values;
}

BatchFile::Input BatchFile::input(const TensorRecord& record, const std::string& name, std::size_t count) const {
  const auto found = file_.entries().find(name);
  if (found == file_.entries().end()) {
    throw data_error("the step needs the input " + record.name + ", " + record.description());
  }
  const SafetensorsFile::Entry& entry = found->second;
  std::vector<std::int64_t> shape = entry.shape;
  if (!shape.empty()) shape.erase(shape.begin());
  if (entry.shape.empty() || shape != record.shape || record.dtype != entry.dtype->name) {
    throw data_error("the input " + record.name + " must be " + record.description() + ", it is " + entry.dtype->name +
                     " " + python_list(shape));
  }
  if (static_cast<std::size_t>(entry.shape[0]) < count) {
    throw data_error(path_ + " has " + std::to_string(entry.shape[0]) + " batches of " + record.name +
                     ", by its buckets it should have " + std::to_string(count));
  }
  return {entry, record.elements() * entry.dtype->bytes};
}

void BatchFile::read(const SafetensorsFile::Entry& entry, void* to, std::size_t from, std::size_t bytes) const {
  try {
    file_.read(entry, to, from, bytes);
  } catch (const std::exception& error) {
    throw data_error("the batches in " + path_ + " cannot be read: " + error.what());
  }
}

Batch BatchFile::at(std::int64_t index, std::uint8_t* memory) const {
  Batch batch{place(index).bucket, {}};
  for (const Input& input : inputs_[batch.bucket]) {
    read(input.entry, memory, place(index).row * input.bytes, input.bytes);
    batch.inputs.push_back(memory);
    memory += aligned(input.bytes);
  }
  return batch;
}

std::size_t batch_bytes(const Bucket& bucket) {
  std::size_t bytes = 0;
  for (const TensorRecord& input : bucket.inputs) {
    const DType* dtype = dtype_named(input.dtype);
    if (dtype == nullptr) throw artifact_error("the input " + input.name + " has the unknown type " + input.dtype);
    bytes += aligned(input.elements() * dtype->bytes);
  }
  return bytes;
}

Batches::Batches(const Job& job, const std::vector<Bucket>& buckets)
    : folder_(job.batches), streamed_(job.streamed), buckets_(buckets) {
  if (std::max(job.first_step, job.total_steps) > std::numeric_limits<std::int64_t>::max() / job.accumulate) {
    throw Error("ValueError", std::to_string(job.total_steps) + " steps of " + std::to_string(job.accumulate) +
                                  " batches are more batches than can be counted");
  }
  next_ = job.first_step * job.accumulate;
  std::int64_t needed = next_;
  for (const BatchRange& range : ranges_in(folder_)) {
    if (range.first <= needed) needed = std::max(needed, range.end);
  }
  const std::int64_t all = streamed_ ? next_ + 1 : job.total_steps * job.accumulate;
  if (needed < all) {
    throw data_error("the batches in " + folder_ + " lack batch " + std::to_string(needed) + ", the run needs " +
                     std::to_string(next_) + " to " + std::to_string(all - 1) + ": prepare them again");
  }
  std::size_t most = 0;
  for (const Bucket& bucket : buckets) most = std::max(most, batch_bytes(bucket));
  try {
    memory_ = Mapping::anonymous(most);
  } catch (const SystemError& error) {
    throw environment_problem("a batch of " + std::to_string(most) + " bytes cannot be held: " + error.what(),
                              {{"bytes", static_cast<std::int64_t>(most)}});
  }
  if (next_ < all) open(next_);
}

bool Batches::open(std::int64_t index) {
  file_.reset();
  for (const BatchRange& range : ranges_in(folder_)) {
    if (range.first <= index && index < range.end) {
      const std::string path = folder_ + "/" + range.file();
      file_.emplace(path, range.first, range.end, buckets_);
      if (streamed_) ::unlink(path.c_str());
      return true;
    }
  }
  return false;
}

std::optional<Batch> Batches::at(std::int64_t index, const std::function<bool()>& interrupted) {
  while (!(file_ && file_->has(index)) && !open(index)) {
    if (!streamed_) throw data_error("the batches in " + folder_ + " lack batch " + std::to_string(index));
    if (interrupted()) return std::nullopt;
    abandoned_ = !told_of_more() && !open(index);
  }
  end_ = file_->end(index);
  return file_->at(index, memory_.data());
}

}  // namespace lowpeak::trainer
