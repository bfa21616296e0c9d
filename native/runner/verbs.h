// What lowpeak-runner does, a function a verb: a job in, events out. Each throws Error.
#pragma once

#include "arguments.h"
#include "trainer/events.h"
#include "trainer/stop_request.h"

namespace lowpeak::runner {

// Trains: trainer/job.h says what the job holds.
void train(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit);

}  // namespace lowpeak::runner
