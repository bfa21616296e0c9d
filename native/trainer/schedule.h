// The learning rate of a step.
#pragma once

#include "trainer/optimizer_options.h"

namespace lowpeak::trainer {

// For the update after `step` earlier ones, of `total_steps` in the run.
double learning_rate_at(const OptimizerOptions& options, std::int64_t step, std::int64_t total_steps);

}  // namespace lowpeak::trainer
