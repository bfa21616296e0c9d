#include "trainer/checkpoint.h"

#include <set>

#include "trainer/error.h"
#include "trainer/finite.h"
#include "trainer/json.h"
#include "trainer/room.h"
#include "trainer/safetensors.h"

namespace lowpeak::trainer {
namespace {

struct Named {
  std::string name;
  const TensorView* tensor;
};

std::vector<Named> names(const std::vector<TensorView>& adapter, const std::vector<TensorView>& state) {
  std::vector<Named> made;
  for (const TensorView& tensor : adapter) made.push_back({"adapter." + tensor.name, &tensor});
  for (const TensorView& tensor : state) made.push_back({"optimizer." + tensor.name, &tensor});
  return made;
}

void require_same(const std::string& path, const std::string& name, const std::string& before, const std::string& now) {
  if (before == now) return;
  throw artifact_error(path + " is a checkpoint of a run with " + name + " " + before + ", now it is " + now +
                       ": a resumed run keeps it; use the same, or train into a new folder");
}

void require_same_options(const std::string& path, const Progress& found, const Progress& wanted) {
  if (found.fingerprint == wanted.fingerprint) return;
  std::set<std::string> names;
  for (const OptionFields& fields : {found.options, wanted.options}) {
    for (const auto& field : fields) names.insert(field.first);
  }
  const auto value = [](const OptionFields& fields, const std::string& name) {
    const auto field = fields.find(name);
    return field == fields.end() ? "none" : field->second;
  };
  for (const std::string& name : names) {
    require_same(path, name, value(found.options, name), value(wanted.options, name));
  }
  require_same(path, "options of the fingerprint", found.fingerprint, wanted.fingerprint);
}

void require_artifact(const std::string& path, const Progress& found, const std::string& wanted,
                      const std::string& advice) {
  if (found.artifact == wanted) return;
  throw artifact_error(path + " is a checkpoint of another artifact (manifest " + found.artifact.substr(0, 12) +
                       ", this one is " + wanted.substr(0, 12) + "): " + advice);
}

void require_same_run(const std::string& path, const Progress& found, const Progress& wanted) {
  require_artifact(path, found, wanted.artifact, "resume with that artifact, or train into a new folder");
  require_same(path, "seed", std::to_string(found.seed), std::to_string(wanted.seed));
  require_same_options(path, found, wanted);
  if (found.data != wanted.data) {
    throw artifact_error(path + " is a checkpoint of a run on other data (sha256 " + found.data.substr(0, 12) +
                         ", now it is " + wanted.data.substr(0, 12) +
                         "): resume with that data, or train into a new folder");
  }
}

Progress verified(const std::string& path) {
  try {
    return verify(path);
  } catch (const Damaged& error) {
    throw artifact_error(path + " is damaged: " + error.what());
  }
}

SafetensorsFile opened(const std::string& path) {
  try {
    return SafetensorsFile(path);
  } catch (const std::exception& error) {
    throw artifact_error(path + " cannot be read as a checkpoint: " + error.what());
  }
}

void fill(const std::string& path, const SafetensorsFile& file, const std::vector<Named>& tensors,
          const Touched& touched) {
  for (const auto& [name, tensor] : tensors) {
    const auto entry = file.entries().find(name);
    if (entry == file.entries().end()) throw artifact_error(path + " is of another artifact: it has no " + name);
    if (entry->second.shape != tensor->shape || std::string(entry->second.dtype->name) != "float32") {
      throw artifact_error(path + " is of another artifact: " + name + " has shape " +
                           python_list(entry->second.shape) + " and type " + entry->second.dtype->safetensors +
                           ", not " + python_list(tensor->shape) + " and F32");
    }
    try {
      file.read(entry->second, tensor->data);
    } catch (const std::exception& error) {
      throw artifact_error(path + " cannot be read as a checkpoint: " + error.what());
    }
    if (!all_finite(tensor->data, tensor->count)) {
      throw artifact_error(path + " is damaged: " + name + " holds values that are not finite");
    }
    touched();
  }
}

void write(const std::string& path, const Progress& progress, const std::vector<TensorToWrite>& tensors,
           const Touched& written) {
  WholeFile file(path);
  Checksummed summed(file.fd());
  write_safetensors([&](const void* data, std::size_t size) { summed.write(data, size); }, tensors,
                    metadata_of(progress), written);
  summed.finish();
  file.sync();
  install(file, path);
}

}  // namespace

void save_checkpoint(const std::string& path, const Progress& progress, const std::vector<TensorView>& adapter,
                     const std::vector<TensorView>& state, const Touched& written) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : names(adapter, state)) {
    tensors.push_back({name, dtype_named("float32"), tensor->shape, tensor->data});
  }
  try {
    try {
      write(path, progress, tensors, written);
    } catch (const SystemError& error) {
      if ((error.number != ENOSPC && error.number != EDQUOT) || !give_up_previous(path)) throw;
      write(path, progress, tensors, written);
    }
  } catch (const SystemError& error) {
    std::size_t size = 0;
    for (const TensorToWrite& tensor : tensors) size += tensor.bytes();
    const bool no_room = error.number == ENOSPC || error.number == EFBIG || error.number == EDQUOT;
    const bool earlier = file_exists(path) || file_exists(previous_of(path));
    const std::string bytes = std::to_string(size);
    throw environment_problem("a checkpoint of " + bytes + " bytes cannot be written to " + path + ": " +
                                  (no_room ? "no room" : error.what()) + "; " +
                                  (earlier ? "the earlier checkpoint is intact" : "there is no checkpoint yet") +
                                  ". Free " + bytes + " bytes or give another folder, and resume",
                              {{"bytes", static_cast<std::int64_t>(size)}});
  }
}

void require_checkpoint_room(const std::string& path, const std::vector<TensorView>& adapter,
                             const std::vector<TensorView>& state) {
  std::int64_t bytes = 0;
  for (const TensorView& tensor : adapter) bytes += static_cast<std::int64_t>(tensor.bytes());
  for (const TensorView& tensor : state) bytes += static_cast<std::int64_t>(tensor.bytes());
  // Two are kept, and the next is written beside them.
  const int present = file_exists(path) + file_exists(previous_of(path));
  const std::vector<std::int64_t> files(static_cast<std::size_t>(3 - present), bytes);
  require_room(parent_of(path), files, std::to_string(files.size()) + " checkpoints of the run");
}

std::int64_t restore_checkpoint(const std::string& path, const Progress& wanted, const std::vector<TensorView>& adapter,
                                const std::vector<TensorView>& state, const Touched& touched) {
  const Progress found = verified(path);
  require_same_run(path, found, wanted);
  const SafetensorsFile file = opened(path);
  const std::vector<Named> tensors = names(adapter, state);
  std::set<std::string> odd;
  for (const auto& each : file.entries()) odd.insert(each.first);
  for (const Named& each : tensors) {
    if (const auto [place, added] = odd.insert(each.name); !added) odd.erase(place);
  }
  if (!odd.empty()) {
    throw artifact_error(path + " is of another artifact: " + *odd.begin() + " is in only one of the two");
  }
  fill(path, file, tensors, touched);
  return found.step;
}

void restore_adapter(const std::string& path, const std::string& artifact, const std::vector<TensorView>& adapter,
                     const Touched& touched, const Tell& tell) {
  const std::optional<Checkpoint> newest = newest_of(path, tell);
  if (!newest) throw artifact_error("there is no checkpoint " + path);
  require_artifact(newest->path, newest->progress, artifact, "name a checkpoint of this one, or give that artifact");
  fill(newest->path, opened(newest->path), names(adapter, {}), touched);
}

}  // namespace lowpeak::trainer
