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

Batches::Batches(const std::string& path, const std::vector<TensorRecord>& inputs, std::int64_t count)
    : file_(opened(path)) {
  for (const TensorRecord& record : inputs) {
    const auto found = file_.entries().find(record.name);
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
    if (entry.shape[0] < count) {
      throw data_error("there are " + std::to_string(entry.shape[0]) + " batches of " + record.name +
                       ", the run needs " + std::to_string(count));
    }
    inputs_.push_back({file_.data(entry), record.elements() * entry.dtype->bytes});
  }
}

std::vector<const void*> Batches::at(std::int64_t index) const {
  std::vector<const void*> made;
  for (const Input& input : inputs_) made.push_back(input.data + static_cast<std::size_t>(index) * input.bytes);
  return made;
}

}  // namespace lowpeak::trainer
