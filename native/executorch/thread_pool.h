// ExecuTorch's thread pool, by the part of its class that is called: the wheel has the functions, not their header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lowpeak {

// Of a pool's threads, those that our kernels use. More would mostly be on small processors, and each has its own part
// of the scratch memory.
constexpr int kMaxWorkers = 4;

}  // namespace lowpeak

namespace executorch::extension::threadpool {

class ThreadPool {
 public:
  std::size_t get_thread_count() const;
  // Ends the threads and starts as many as are wanted, on the processors that the calling thread may use. Not while
  // a program runs.
  bool _unsafe_reset_threadpool(std::uint32_t threads);
};

// The pool of all kernels; null where the processors cannot be told.
ThreadPool* get_threadpool();

}  // namespace executorch::extension::threadpool
