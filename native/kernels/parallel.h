// Splits a range over threads. The host decides how: ExecuTorch's pool in a runtime, std::thread in tests.
#pragma once

#include <cstdint>
#include <functional>

namespace lowpeak {

class Parallel {
 public:
  virtual ~Parallel() = default;

  // Most ranges that run at the same time; `worker` of a task is below it.
  virtual int workers() const = 0;

  // Calls task(begin, end, worker) for disjoint ranges that cover 0..count, at most one a worker.
  // Deterministic: the ranges depend on count and workers() only.
  virtual void run(int64_t count, const std::function<void(int64_t, int64_t, int)>& task) = 0;
};

}  // namespace lowpeak
