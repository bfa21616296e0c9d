// Threads and scratch memory of the kernels inside an ExecuTorch runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/parallel.h"

namespace lowpeak {

// ExecuTorch's thread pool, or the calling thread alone where it has none.
class Pool : public Parallel {
 public:
  Pool();
  int workers() const override { return workers_; }
  void run(int64_t count, const std::function<void(int64_t, int64_t, int)>& task) override;

 private:
  int workers_;
};

// At least `bytes` bytes that stay valid until the calling thread asks again.
//
// One buffer a thread that runs programs, kept for the next call: the runtime's temporary allocator would map
// and clear the same pages for every kernel. Null if there is no memory.
void* scratch(int64_t bytes);

}  // namespace lowpeak
