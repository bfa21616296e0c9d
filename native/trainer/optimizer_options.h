// How the adapter is updated: lowpeak_runtime/train/optimizer.py's OptimizerOptions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/json.h"

namespace lowpeak::trainer {

enum class Algorithm { adamw, sgd };
enum class Schedule { constant, cosine };

struct OptimizerOptions {
  Algorithm algorithm = Algorithm::adamw;
  double learning_rate = 2e-4;             // after the warm-up
  double weight_decay = 0;                 // decoupled for adamw, added to the gradient for sgd
  double beta1 = 0.9, beta2 = 0.999;       // adamw
  double epsilon = 1e-8;                   // adamw: added to the root of the mean square
  double momentum = 0;                     // sgd
  std::optional<double> clip_norm;         // gradients are scaled down to this global 2-norm; none: never
  std::int64_t warmup_steps = 0;           // in which the learning rate rises linearly
  Schedule schedule = Schedule::constant;  // after the warm-up; cosine falls to zero at the run's last step

  // Throws an Error of kind ValueError for values that make no sense.
  static OptimizerOptions from_json(const JsonReader& reader);
};

}  // namespace lowpeak::trainer
