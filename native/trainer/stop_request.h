// A wish to stop, looked at between instructions.
#pragma once

#include <atomic>

namespace lowpeak::trainer {

class StopRequest {
 public:
  // The first reason stays. It lives as long as the program; may be called from a signal handler and any thread.
  void request(const char* reason) {
    const char* none = nullptr;
    reason_.compare_exchange_strong(none, reason);
  }

  // Null: go on.
  const char* reason() const { return reason_.load(); }

 private:
  std::atomic<const char*> reason_{nullptr};
};

}  // namespace lowpeak::trainer
