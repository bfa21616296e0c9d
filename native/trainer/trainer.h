// Training from an artifact: from `first_step` to `total_steps`, or until asked to stop; then a checkpoint.
#pragma once

#include "trainer/events.h"
#include "trainer/job.h"
#include "trainer/stop_request.h"
#include "trainer/threads.h"

namespace lowpeak::trainer {

struct TrainerOptions {
  bool verify = true;    // the hashes of the artifact's files
  bool metrics = false;  // memory in every step's event
  std::string pressure_file = "/proc/pressure/memory";
  double pressure_limit = 50;  // percent
  ThreadOptions threads;
};

// Whoever calls holds the lock on the checkpoint's folder. False: it stopped before its goal, with all steps kept.
// Throws Error (ArtifactError, DataError, EnvironmentProblem).
bool train(const Job& job, const TrainerOptions& options, const StopRequest& stop, const Emit& emit);

}  // namespace lowpeak::trainer
