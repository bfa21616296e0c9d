// The two generations of a run's checkpoint, as lowpeak_runtime/train/checkpoint.py has them: the newest whole one is
// what a run goes on from.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "trainer/checkpoint_format.h"
#include "trainer/whole_file.h"

namespace lowpeak::trainer {

using Tell = std::function<void(const std::string& words)>;

struct Checkpoint {
  std::string path;
  Progress progress;
};

// "checkpoint.safetensors" -> "checkpoint.previous.safetensors".
std::string previous_of(const std::string& path);

// The newest of the checkpoint that is written to `path`, every byte of it checked; none if there is none. Where the
// newest is damaged, `tell` is told that it is the one before and how many steps that has. Throws ArtifactError when
// there are checkpoints and none is whole, or one is of another version of lowpeak.
std::optional<Checkpoint> newest_of(const std::string& path, const Tell& tell);

// Gives the newest whole generation the name `path`, before a run goes on from it: the next one would else push out
// the whole one and keep the damaged. The caller holds the folder's lock. Throws as `newest_of`.
void settle(const std::string& path, const Tell& tell);

// The checkpoint `fresh`, which is whole and on the disk, becomes the newest, and the newest the one before. Throws
// SystemError; the newest is then whole under one of the names.
void install(WholeFile& fresh, const std::string& path);

// Removes the generation before, for its room, if the newest is whole; whether it did.
bool give_up_previous(const std::string& path);

}  // namespace lowpeak::trainer
