// The tensors of a checkpoint, written from where they lie and restored into it: it costs no memory.
//
// The file is lowpeak_runtime/train/checkpoint_tensors.py's, so a run that one of the two began continues in the other.
#pragma once

#include <string>
#include <vector>

#include "trainer/generations.h"
#include "trainer/tensor_view.h"
#include "trainer/touched.h"

namespace lowpeak::trainer {

// Writes a temporary file beside `path`, syncs it and gives it that name; an earlier checkpoint there becomes the one
// before. On a full disk the one before that is given up for its room. `written` is called after each tensor.
//
// One process at a time may write there. Throws EnvironmentProblem when the disk has no room or the folder cannot
// be written; the earlier checkpoint is then intact.
void save_checkpoint(const std::string& path, const Progress& progress, const std::vector<TensorView>& adapter,
                     const std::vector<TensorView>& state, const Touched& written);

// Before the first step: throws EnvironmentProblem unless the folder of `path` can be written and has room for the
// checkpoints that will be there at once.
void require_checkpoint_room(const std::string& path, const std::vector<TensorView>& adapter,
                             const std::vector<TensorView>& state);

// Writes the checkpoint into the tensors given -> the updates made. Throws ArtifactError unless it is whole, of this
// run, and fits.
std::int64_t restore_checkpoint(const std::string& path, const Progress& wanted, const std::vector<TensorView>& adapter,
                                const std::vector<TensorView>& state, const Touched& touched);

// The adapter alone, of the newest whole generation, for what does not go on with the run. `tell` is as `newest_of`
// has it. Throws ArtifactError unless the checkpoint is of the artifact, by its Manifest::id, and fits.
void restore_adapter(const std::string& path, const std::string& artifact, const std::vector<TensorView>& adapter,
                     const Touched& touched, const Tell& tell);

}  // namespace lowpeak::trainer
