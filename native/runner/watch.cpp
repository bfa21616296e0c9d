#include "runner/watch.h"

namespace lowpeak::runner {
namespace {

constexpr std::chrono::seconds kBetweenLooks{1};

}  // namespace

bool Watch::look(bool first) {
  if (!reason_.empty()) return true;
  if (stop_.reason() != nullptr) {
    reason_ = stop_.reason();
    return true;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now < next_ && !first) return false;
  next_ = now + kBetweenLooks;
  reason_ = guard_.reason(trainer::memory_now(), first).value_or("");
  return !reason_.empty();
}

}  // namespace lowpeak::runner
