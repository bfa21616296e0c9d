// A Parallel of std::thread for tests and benchmarks: `workers` - 1 threads, and the caller.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/parallel.h"

namespace lowpeak {

class Threads : public Parallel {
 public:
  explicit Threads(int workers) : workers_(workers) {
    for (int worker = 1; worker < workers; ++worker) {
      threads_.emplace_back([this, worker] { serve(worker); });
    }
  }

  ~Threads() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int workers() const override { return workers_; }

  void run(int64_t count, const std::function<void(int64_t, int64_t, int)>& task) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      task_ = &task;
      count_ = count;
      running_ = workers_ - 1;
      ++round_;
    }
    start_.notify_all();
    run_share(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void run_share(int worker) {
    const int64_t begin = count_ * worker / workers_, end = count_ * (worker + 1) / workers_;
    if (begin < end) (*task_)(begin, end, worker);
  }

  void serve(int worker) {
    int64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      start_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      lock.unlock();
      run_share(worker);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  const int workers_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int64_t, int64_t, int)>* task_ = nullptr;
  int64_t count_ = 0;
  int64_t round_ = 0;
  int running_ = 0;
  bool stopping_ = false;
};

}  // namespace lowpeak
