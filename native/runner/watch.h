// Looks whether a verb should stop: for a signal every time, for memory now and then, for which a file is read.
#pragma once

#include <chrono>
#include <string>

#include "trainer/memory.h"
#include "trainer/stop_request.h"

namespace lowpeak::runner {

class Watch {
 public:
  // `stop` must outlive it.
  Watch(const trainer::StopRequest& stop, trainer::MemoryGuard guard) : stop_(stop), guard_(std::move(guard)) {}

  // Before anything is done, which then needs what was planned. True: stop.
  bool at_first() { return look(true); }
  bool again() { return look(false); }

  const std::string& reason() const { return reason_; }  // empty: none yet

 private:
  bool look(bool first);

  const trainer::StopRequest& stop_;
  const trainer::MemoryGuard guard_;
  std::chrono::steady_clock::time_point next_{};
  std::string reason_;
};

}  // namespace lowpeak::runner
