// The number of threads that products are fastest with.
#pragma once

#include <functional>
#include <string>

namespace lowpeak::trainer {

struct ThreadChoice {
  int count;
  std::string reason;
};

// Of 2 to kMaxWorkers threads, and no more than there are processors. `speed` measures a number of threads: what is
// done in a second, 0 if that cannot be told.
ThreadChoice fastest(int processors, const std::function<double(int)>& speed);

}  // namespace lowpeak::trainer
