#include "batches.h"

#include "error.h"
#include "json.h"

namespace lowpeak::trainer {
namespace {

SafetensorsFile opened(const std::string& path) {
  try {
    return SafetensorsFile(path);
  } catch (const std::exception& error) {
    throw data_error("the batches in " + path + " cannot be read: " + error.what());
  }
}

}  // namespace

Batches::Batches(const std::string& path, const std::vector<Bucket>& buckets, std::int64_t count)
    : file_(opened(path)) {
  const auto found = file_.entries().find("buckets");
  if (found == file_.entries().end() || found->second.shape.size() != 1 ||
      std::string(found->second.dtype->name) != "int64") {
    throw data_error("the batches in " + path + " have no buckets: int64 [batches]");
  }
  if (found->second.shape[0] < count) {
    throw data_error("there are " + std::to_string(found->second.shape[0]) + " batches, the run needs " +
                     std::to_string(count));
  }
  const auto* chosen = reinterpret_cast<const std::int64_t*>(file_.data(found->second));
  std::vector<std::size_t> counts(buckets.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (chosen[i] < 0 || static_cast<std::size_t>(chosen[i]) >= buckets.size()) {
      throw data_error("batch " + std::to_string(i) + " is of bucket " + std::to_string(chosen[i]) +
                       ", the artifact has " + std::to_string(buckets.size()));
    }
    const auto bucket = static_cast<std::size_t>(chosen[i]);
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

Batches::Input Batches::input(const TensorRecord& record, const std::string& name, std::size_t count) const {
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
    throw data_error("there are " + std::to_string(entry.shape[0]) + " batches of " + record.name +
                     ", the run needs " + std::to_string(count));
  }
  return {file_.data(entry), record.elements() * entry.dtype->bytes};
}

Batch Batches::at(std::int64_t index) const {
  const Place& place = places_[static_cast<std::size_t>(index)];
  file_.release();
  Batch made{place.bucket, {}};
  for (const Input& input : inputs_[place.bucket]) made.inputs.push_back(input.data + place.row * input.bytes);
  return made;
}

}  // namespace lowpeak::trainer
