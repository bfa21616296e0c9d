// What lowpeak-runner does, a function a verb: a job in, events out. Each throws Error.
#pragma once

#include "arguments.h"
#include "trainer/events.h"
#include "trainer/stop_request.h"

namespace lowpeak::runner {

// Generates text: generate_job.h says what the job holds.
void generate(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// Trains: trainer/job.h says what the job holds.
void train(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// Makes batches of a JSONL file: {"artifact", "data", "batches", "seed", "position", "first_step", "total_steps",
// "accumulate"}.
void encode(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

// The mean loss over batches: {"artifact", "work", "batches", "count", "checkpoint": a file or null}.
void eval(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

}  // namespace lowpeak::runner
