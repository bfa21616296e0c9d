// What training tells, as lowpeak_runtime/train/events.py has it: one JSON object a line.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "trainer/error.h"
#include "trainer/memory.h"

namespace lowpeak::trainer {

using Event = nlohmann::ordered_json;
using Emit = std::function<void(const Event&)>;

// Memory beside a step: bytes.
struct StepMemory {
  MemoryUse now;
  std::int64_t peak_anonymous;  // beyond the baseline, seen between steps
  std::int64_t planned_peak, planned_anonymous;
};

Event ready_event(const MemoryUse& baseline);
// Something that the user should know and that does not stop the run: `words` are for people.
Event note_event(const std::string& words);
Event step_event(std::int64_t step, double loss, double seconds, std::optional<std::int64_t> tokens,
                 const std::optional<StepMemory>& memory);
Event done_event(std::int64_t step);
Event stopped_event(std::int64_t step, const std::string& reason);
Event error_event(const Error& error);

std::string line_of(const Event& event);

}  // namespace lowpeak::trainer
