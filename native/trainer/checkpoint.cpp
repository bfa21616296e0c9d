#include "checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <set>

#include "error.h"
#include "files.h"
#include "json.h"
#include "room.h"
#include "safetensors.h"

namespace lowpeak::trainer {
namespace {

constexpr char kFormat[] = "lowpeak-checkpoint-2";

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

std::string temporary_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return path.substr(0, path.size() - name.size()) + "." + name + ".tmp";
}

// "a/checkpoint.safetensors" -> "a/checkpoint.previous.safetensors"
std::string previous_of(const std::string& path) {
  const auto dot = path.find_last_of("./");
  const bool has_kind = dot != std::string::npos && path[dot] == '.';
  return has_kind ? path.substr(0, dot) + ".previous" + path.substr(dot) : path + ".previous";
}

std::string to_json(const Progress& progress) {
  return "{\"artifact\": " + python_json_string(progress.artifact) + ", \"step\": " + std::to_string(progress.step) +
         ", \"seed\": " + std::to_string(progress.seed) + ", \"options\": " + python_json_string(progress.options) +
         ", \"data\": " + python_json_string(progress.data) + ", \"position\": " + std::to_string(progress.position) +
         "}";
}

Progress progress_of(const std::string& path, const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    throw artifact_error(path + " is no checkpoint of this version of lowpeak");
  }
  const auto text = file.metadata().find("progress");
  try {
    const Json raw = parse_json(text == file.metadata().end() ? "" : text->second);
    const JsonReader progress(raw, "ArtifactError", "progress", "progress");
    return {progress.at("artifact").text(), progress.at("step").integer(), progress.at("seed").integer(),
            progress.at("options").text(), progress.at("data").text(), progress.at("position").integer()};
  } catch (const std::exception& error) {
    throw artifact_error(path + " is a damaged checkpoint: " + error.what());
  }
}

void require_same(const std::string& path, const char* name, const std::string& before, const std::string& now) {
  if (before == now) return;
  throw artifact_error(path + " is a checkpoint of a run with " + name + " " + before + ", now it is " + now +
                       ": a resumed run keeps them; use the same, or train into a new folder");
}

void require_artifact(const std::string& path, const Progress& found, const std::string& wanted,
                      const std::string& advice) {
  if (found.artifact == wanted) return;
  throw artifact_error(path + " is a checkpoint of another artifact (manifest " + found.artifact.substr(0, 12) +
                       ", this one is " + wanted.substr(0, 12) +
                       "): " + advice);
}

void require_same_run(const std::string& path, const Progress& found, const Progress& wanted) {
  require_artifact(path, found, wanted.artifact, "resume with that artifact, or train into a new folder");
  require_same(path, "seed", std::to_string(found.seed), std::to_string(wanted.seed));
  require_same(path, "options", found.options, wanted.options);
  if (found.data != wanted.data) {
    throw artifact_error(path + " is a checkpoint of a run on other data (sha256 " + found.data.substr(0, 12) +
                         ", now it is " + wanted.data.substr(0, 12) +
                         "): resume with that data, or train into a new folder");
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
                           python_list(entry->second.shape) + ", not " + python_list(tensor->shape));
    }
    std::memcpy(tensor->data, file.data(entry->second), tensor->count * sizeof(float));
    file.release();
    touched();
  }
}

}  // namespace

Progress read_progress(const std::string& path) { return progress_of(path, opened(path)); }

void save_checkpoint(const std::string& path, const Progress& progress, const std::vector<TensorView>& adapter,
                     const std::vector<TensorView>& state, const Touched& written) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : names(adapter, state)) {
    tensors.push_back({name, dtype_named("float32"), tensor->shape, tensor->data});
  }
  const std::string temporary = temporary_of(path);
  try {
    {
      const Descriptor file = Descriptor::open(temporary, O_WRONLY | O_CREAT | O_TRUNC);
      write_safetensors(file.get(), tensors, {{"format", kFormat}, {"progress", to_json(progress)}}, written);
      if (::fsync(file.get()) != 0) throw SystemError();
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw SystemError();
    sync_folder(parent_of(path));
  } catch (const SystemError& error) {
    ::unlink(temporary.c_str());
    std::size_t size = 0;
    for (const TensorToWrite& tensor : tensors) size += tensor.bytes();
    const bool no_room = error.number == ENOSPC || error.number == EFBIG || error.number == EDQUOT;
    const std::string bytes = std::to_string(size);
    throw environment_problem(
        "a checkpoint of " + bytes + " bytes cannot be written to " + path + ": " +
            (no_room ? "no room" : error.what()) + "; " +
            (file_exists(path) ? "the earlier checkpoint is intact" : "there is no checkpoint yet") + ". Free " +
            bytes + " bytes or give another folder, and resume",
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

std::int64_t restore_checkpoint(const std::string& path, const Progress& wanted,
                                const std::vector<TensorView>& adapter, const std::vector<TensorView>& state,
                                const Touched& touched) {
  const SafetensorsFile file = opened(path);
  const Progress found = progress_of(path, file);
  require_same_run(path, found, wanted);
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
                     const Touched& touched) {
  const SafetensorsFile file = opened(path);
  require_artifact(path, progress_of(path, file), artifact, "name a checkpoint of this one, or give that artifact");
  fill(path, file, names(adapter, {}), touched);
}

}  // namespace lowpeak::trainer
