// The state of a run in one safetensors file that is whole or absent, whatever happens meanwhile.
//
// The file is runtime_py/checkpoint.py's, so a run that one of the two began continues in the other.
#pragma once

#include <string>
#include <vector>

#include "tensor_view.h"
#include "touched.h"

namespace lowpeak::trainer {

// Where a run is, and what it must not change in order to continue.
struct Progress {
  std::string artifact;  // Manifest::id
  std::int64_t step;     // updates made
  std::int64_t seed;
  std::string options;  // Job::fingerprint
  std::string data;     // SHA-256 of what is trained on
  std::int64_t position;  // where the last step ended in the order of the data
};

// Throws ArtifactError when the file is no checkpoint or damaged.
Progress read_progress(const std::string& path);

// Writes a temporary file beside `path`, syncs it and renames it over an earlier checkpoint. `written` is called
// after each tensor.
//
// One process at a time may write there. Throws EnvironmentProblem when the disk has no room or the folder cannot
// be written; the earlier checkpoint is then intact.
void save_checkpoint(const std::string& path, const Progress& progress, const std::vector<TensorView>& adapter,
                     const std::vector<TensorView>& state, const Touched& written);

// Before the first step: throws EnvironmentProblem unless the folder of `path` can be written and has room for the
// checkpoints that will be there at once.
void require_checkpoint_room(const std::string& path, const std::vector<TensorView>& adapter,
                             const std::vector<TensorView>& state);

// Writes the checkpoint into the tensors given -> the updates made. Throws ArtifactError unless it is of this run
// and fits.
std::int64_t restore_checkpoint(const std::string& path, const Progress& wanted,
                                const std::vector<TensorView>& adapter, const std::vector<TensorView>& state,
                                const Touched& touched);

// The adapter alone, for what does not go on with the run. Throws ArtifactError unless the checkpoint is of the
// artifact, by its Manifest::id, and fits.
void restore_adapter(const std::string& path, const std::string& artifact, const std::vector<TensorView>& adapter,
                     const Touched& touched);

}  // namespace lowpeak::trainer
