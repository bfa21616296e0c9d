#include "trainer/memory.h"

#if defined(__GLIBC__) || defined(__BIONIC__)
#include <malloc.h>
#endif

#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "trainer/error.h"
#include "trainer/files.h"

namespace lowpeak::trainer {

MemoryUse memory_now() {
  std::string status;
  try {
    status = read_text("/proc/self/status");
  } catch (const SystemError&) {
    throw environment_problem("memory is measured through /proc, which only Linux has");
  }
  MemoryUse use;
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, colon);
    std::int64_t* field = key == "VmRSS"     ? &use.rss
                          : key == "RssAnon" ? &use.anonymous
                          : key == "RssFile" ? &use.file
                          : key == "VmHWM"   ? &use.peak_rss
                                             : nullptr;
    if (field != nullptr) *field = std::atoll(line.c_str() + colon + 1) * 1024;
  }
  return use;
}

// glibc keeps freed memory in an arena a thread, and raises the size from which it maps and unmaps: both make the
// peak depend on chance. Android's allocator keeps it for a time.
void tame_allocator() {
  refuse_huge_pages();
#if defined(__GLIBC__)
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 17);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 17);
#elif defined(__BIONIC__)
  ::mallopt(M_DECAY_TIME, 0);
#endif
}

void refuse_huge_pages() {
#if defined(PR_SET_THP_DISABLE)
  ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
#endif
}

void trim_allocator() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#elif defined(__BIONIC__)
#if defined(M_PURGE_ALL)
  // Known to Android 14 and later, which else says no.
  if (::mallopt(M_PURGE_ALL, 0) == 1) return;
#endif
  ::mallopt(M_PURGE, 0);
#endif
}

Pressure read_pressure(const std::string& file) {
  try {
    const std::string text = read_text(file);
    const auto place = text.find("some avg10=");
    if (place == std::string::npos) return {std::nullopt, "it has no line of some avg10"};
    return {std::strtod(text.c_str() + place + 11, nullptr), ""};
  } catch (const SystemError& error) {
    return {std::nullopt, error.what()};
  }
}

std::optional<std::string> MemoryGuard::reason(const MemoryUse& now, bool before_first_step) const {
  const std::int64_t held = std::max<std::int64_t>(0, now.anonymous - baseline);
  const std::int64_t needed = before_first_step ? std::max(held, planned) : held;
  if (needed > budget) {
    return "memory budget: the next step needs " + std::to_string(needed) +
           " bytes of anonymous memory, the budget is " + std::to_string(budget);
  }
  const std::optional<double> waited = read_pressure(pressure_file).percent;
  if (waited && *waited > pressure_limit) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "memory pressure: tasks waited for memory in %.1f %% of the last 10 seconds, "
                  "the limit is %.1f %%",
                  *waited, pressure_limit);
    return text;
  }
  return std::nullopt;
}

}  // namespace lowpeak::trainer
