#include "trainer/thread_choice.h"

#include <algorithm>
#include <cmath>

#include "executorch/thread_pool.h"

namespace lowpeak::trainer {

// Fewer threads must be faster by this much: a short measurement is not exact, and more do better under load.
constexpr double kAdvantage = 1.05;

ThreadChoice fastest(int processors, const std::function<double(int)>& speed) {
  const int most = std::min(processors, kMaxWorkers), least = std::min(most, 2);
  if (least == most) return {most, "as many as there are"};
  ThreadChoice best{most, ""};
  std::string speeds, counts;
  double best_speed = 0;
  for (int count = most; count >= least; --count) {
    const double found = speed(count);
    if (found <= 0) return {most, "not measured"};
    if (found > best_speed * kAdvantage) {
      best.count = count;
      best_speed = found;
    }
    const char* separator = speeds.empty() ? "" : ", ";
    speeds += separator + std::to_string(std::lround(found));
    counts += separator + std::to_string(count);
  }
  best.reason = speeds + " products a second on " + counts;
  return best;
}

}  // namespace lowpeak::trainer
