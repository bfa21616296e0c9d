#include "batches.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "batch_ranges.h"
#include "error.h"
#include "json.h"

namespace lowpeak::trainer {
namespace {

constexpr int kWaitMilliseconds = 1000;

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

BatchFile::BatchFile(const std::string& path, std::int64_t first, std::int64_t end,
                     const std::vector<Bucket>& buckets)
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
  const auto* values = reinterpret_cast<const std::int64_t*>(file_.data(entry->second));
  return {values, values + count};
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
    throw data_error("the input " + record.name + " must be " + record.description() + ", it is " +
                     entry.dtype->name + " " + python_list(shape));
  }
  if (static_cast<std::size_t>(entry.shape[0]) < count) {
    throw data_error(path_ + " has " + std::to_string(entry.shape[0]) + " batches of " + record.name +
                     ", by its buckets it should have " + std::to_string(count));
  }
  return {file_.data(entry), record.elements() * entry.dtype->bytes};
}

Batch BatchFile::at(std::int64_t index) const {
  file_.release();
  Batch batch{place(index).bucket, {}};
  for (const Input& input : inputs_[batch.bucket]) {
    batch.inputs.push_back(input.data + place(index).row * input.bytes);
  }
  return batch;
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
  if (next_ < all) open(next_);
}

bool Batches::open(std::int64_t index) {
  file_.reset();
  for (const BatchRange& range : ranges_in(folder_)) {
    if (range.first <= index && index < range.end) {
      file_.emplace(folder_ + "/" + range.file(), range.first, range.end, buckets_);
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
  return file_->at(index);
}

}  // namespace lowpeak::trainer
