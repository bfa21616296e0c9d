#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>

namespace lowpeak::trainer {

double learning_rate_at(const OptimizerOptions& options, std::int64_t step, std::int64_t total_steps) {
  constexpr double kPi = 3.14159265358979323846;
  const auto warmup = options.warmup_steps;
  if (step < warmup) {
    return options.learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup);
  }
  if (options.schedule == Schedule::constant) return options.learning_rate;
  const double length = static_cast<double>(std::max<std::int64_t>(1, total_steps - warmup));
  const double share = static_cast<double>(step - warmup) / length;
  return options.learning_rate * 0.5 * (1 + std::cos(kPi * std::min(1.0, share)));
}

}  // namespace lowpeak::trainer
