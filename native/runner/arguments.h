// The command line: lowpeak-runner [VERB] JOB.json and options.
#pragma once

#include <string>
#include <vector>

#include "trainer/trainer.h"

namespace lowpeak::runner {

struct Arguments {
  std::string verb = "train";
  std::string job;                     // a file
  std::vector<std::string> operators;  // libraries of kernels
  bool resume = false;
  int lock = -1;  // the run's folder, as the program that started this one holds it
  trainer::TrainerOptions options;
};

// Ends the process with 2 and the usage for what cannot be read. `verbs`: those that there are.
Arguments parse(int count, char** values, const std::vector<std::string>& verbs);

}  // namespace lowpeak::runner
