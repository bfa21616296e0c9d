// What lowpeak-runner does, a function a verb: a job in, events out. Each throws Error.
#pragma once

#include "runner/arguments.h"
#include "trainer/events.h"
#include "trainer/stop_request.h"

namespace lowpeak::runner {

// How a verb ended; the program's exit code.
enum class End {
  done = 0,
  stopped = 3,  // before its goal, by a signal or for memory; what there is has been kept or told
};

// Generates text: generate_job.h says what the job holds.
End generate(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// Trains: trainer/job.h says what the job holds.
End train(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// Makes batches of a JSONL file: {"artifact", "data", "batches", "seed", "position", "first_step", "total_steps",
// "accumulate"}.
End encode(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// The mean loss over batches: {"artifact", "work", "batches", "count", "checkpoint": a file or null}.
End eval(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

}  // namespace lowpeak::runner
