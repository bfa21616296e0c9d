#include "trainer/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

namespace lowpeak::trainer {
namespace {

namespace et = executorch::runtime;

thread_local RuntimeLog* listening = nullptr;

RuntimeLog& log_of_thread() {
  static RuntimeLog of_others;
  return listening == nullptr ? of_others : *listening;
}

void keep_log(et_timestamp_t, et_pal_log_level_t level, const char* file, const char*, size_t line, const char* message,
              size_t length) {
  if (level != kError && level != kFatal) return;
  const std::string words = "[" + std::string(file) + ":" + std::to_string(line) + "] " + std::string(message, length);
  // The process ends with it.
  if (level == kFatal) std::fprintf(stderr, "%s\n", words.c_str());
  log_of_thread().keep(words);
}

std::function<void(const Error&)> handle_fatal;

void end_process() {
  if (handle_fatal) {
    handle_fatal(artifact_error("ExecuTorch cannot go on with the artifact's program: " + log_of_thread().last() +
                                "; copy or compile it again"));
  }
  std::abort();
}

}  // namespace

std::string RuntimeLog::last() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_;
}

std::string RuntimeLog::said() const {
  const std::string words = last();
  return words.empty() ? "" : " (" + words + ")";
}

void RuntimeLog::keep(std::string line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  last_ = std::move(line);
}

RuntimeLog::Listening::Listening(RuntimeLog& log) : before_(std::exchange(listening, &log)) {}

RuntimeLog::Listening::~Listening() { listening = before_; }

void start_runtime() {
  et::register_pal(et::PalImpl::create(nullptr, end_process, nullptr, nullptr, keep_log, nullptr, nullptr, __FILE__));
  et::runtime_init();
}

void on_fatal(std::function<void(const Error&)> handle) { handle_fatal = std::move(handle); }

}  // namespace lowpeak::trainer
