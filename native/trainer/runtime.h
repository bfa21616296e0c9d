// ExecuTorch's runtime in this process: its start, its log, and its end where it cannot go on.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "trainer/error.h"

namespace lowpeak::trainer {

// Starts the runtime, its log kept away from the terminal: the part of an error that explains it is in the Error.
void start_runtime();

// What is done when the runtime cannot go on: a kernel was called with what it never expects. The process must end.
void on_fatal(std::function<void(const Error&)> handle);

// What the runtime said last of an error, to whom listens. It tells its log to one function of the process, without a
// word on whose program it is: a line belongs to the log that its thread listens with, and on threads that do not, to
// one of the process that only `on_fatal` hears.
class RuntimeLog {
 public:
  // " (what was said)"; empty if nothing.
  std::string said() const;

  // While it exists, the calling thread listens.
  class Listening {
   public:
    explicit Listening(RuntimeLog& log);
    ~Listening();
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

   private:
    RuntimeLog* const before_;
  };

  void keep(std::string line);
  std::string last() const;

 private:
  mutable std::mutex mutex_;
  std::string last_;
};

}  // namespace lowpeak::trainer
