#include "executorch/pool.h"

#include <algorithm>
#include <cstdlib>

#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include "executorch/thread_pool.h"

namespace lowpeak {

namespace {

int64_t threads() {
  const auto* pool = executorch::extension::threadpool::get_threadpool();
  return pool ? static_cast<int64_t>(pool->get_thread_count()) : 1;
}

}  // namespace

Pool::Pool() : workers_(static_cast<int>(std::clamp<int64_t>(threads(), 1, kMaxWorkers))) {}

void Pool::run(int64_t count, const std::function<void(int64_t, int64_t, int)>& task) {
  if (count <= 1) {
    // To wake threads takes longer than many tasks of a single token.
    if (count == 1) task(0, 1, 0);
    return;
  }
  const auto share = [&](int64_t worker) {
    const int64_t begin = count * worker / workers_, end = count * (worker + 1) / workers_;
    if (begin < end) task(begin, end, static_cast<int>(worker));
  };
  executorch::extension::parallel_for(0, workers_, 1, [&](int64_t first, int64_t last) {
    for (int64_t worker = first; worker < last; ++worker) share(worker);
  });
}

namespace {

#ifdef LOWPEAK_SANITIZE
constexpr bool kExact = true;  // so that a step out of it is one out of the buffer
#else
constexpr bool kExact = false;
#endif

struct Buffer {
  void* data = nullptr;
  int64_t bytes = 0;
  ~Buffer() { std::free(data); }
};

}  // namespace

void* scratch(int64_t bytes) {
  thread_local Buffer buffer;
  if (kExact ? buffer.bytes != bytes : buffer.bytes < bytes) {
    std::free(buffer.data);
    buffer.data = std::malloc(static_cast<size_t>(bytes));
    buffer.bytes = buffer.data ? bytes : 0;
  }
  return buffer.data;
}

}  // namespace lowpeak
