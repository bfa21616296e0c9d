#include "trainer/events.h"

namespace lowpeak::trainer {
namespace {

constexpr std::size_t kLongest = 1000, kEnd = 400;  // bytes of a message, and of its ends if it is longer

// Without the middle of what is long, for a message may repeat what a user has given.
std::string shortened(const std::string& message) {
  if (message.size() <= kLongest) return message;
  const auto inside = [&](std::size_t place) { return (static_cast<unsigned char>(message[place]) & 0xC0) == 0x80; };
  std::size_t first = kEnd, last = message.size() - kEnd;
  while (first > 0 && inside(first)) --first;
  while (last + 1 < message.size() && inside(last)) ++last;
  return message.substr(0, first) + " [...] " + message.substr(last);
}

}  // namespace

Event ready_event(const MemoryUse& baseline) {
  return {{"event", "ready"},
          {"rss_bytes", baseline.rss},
          {"anonymous_bytes", baseline.anonymous},
          {"file_bytes", baseline.file}};
}

Event note_event(const std::string& words) { return {{"event", "note"}, {"note", words}}; }

Event step_event(std::int64_t step, double loss, double seconds, std::optional<std::int64_t> tokens,
                 const std::optional<StepMemory>& memory) {
  Event event{{"event", "step"}, {"step", step}, {"loss", loss}, {"seconds", seconds}};
  event["tokens_per_second"] = tokens ? Event(static_cast<double>(*tokens) / seconds) : Event();
  if (memory) {
    event["rss_bytes"] = memory->now.rss;
    event["anonymous_bytes"] = memory->now.anonymous;
    event["peak_rss_bytes"] = memory->now.peak_rss;
    event["peak_anonymous_bytes"] = memory->peak_anonymous;
    event["planned_peak_bytes"] = memory->planned_peak;
    event["planned_anonymous_bytes"] = memory->planned_anonymous;
  }
  return event;
}

Event done_event(std::int64_t step) { return {{"event", "done"}, {"step", step}}; }

Event stopped_event(std::int64_t step, const std::string& reason) {
  return {{"event", "stopped"}, {"step", step}, {"reason", reason}};
}

Event error_event(const Error& error) {
  return {{"event", "error"}, {"class", error.kind}, {"message", shortened(error.what())}, {"numbers", error.numbers}};
}

std::string line_of(const Event& event) { return event.dump(-1, ' ', true, Event::error_handler_t::replace) + "\n"; }

}  // namespace lowpeak::trainer
