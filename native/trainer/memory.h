// What this process holds, and when it should make room.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lowpeak::trainer {

// Bytes resident now, from /proc/self/status.
struct MemoryUse {
  std::int64_t rss = 0;        // all of it: anonymous, file and shared pages
  std::int64_t anonymous = 0;  // cannot be given back
  std::int64_t file = 0;
  std::int64_t peak_rss = 0;  // most ever
};

// Throws EnvironmentProblem without /proc.
MemoryUse memory_now();

// Makes the allocator give freed memory back, its peak the same in every run, and each byte of it cost no more than
// its page: `refuse_huge_pages` as well.
void tame_allocator();

// Of this process from now on, whatever the system is set to: a huge page takes megabytes for the first byte of it,
// which no plan knows of. A kernel that cannot refuse them has none, or is older than Linux 3.15.
void refuse_huge_pages();

void trim_allocator();

// The part of the last 10 seconds in which some task waited for memory, in percent.
struct Pressure {
  std::optional<double> percent;
  std::string problem;  // why it is not told, if it is not
};

// From a file like /proc/pressure/memory.
Pressure read_pressure(const std::string& file);

// Says when training should stop, before the system kills it.
struct MemoryGuard {
  std::int64_t budget;    // bytes of anonymous memory beyond the baseline; 0: any
  std::int64_t planned;   // bytes that a step takes, of which the first has yet to come
  std::int64_t baseline;  // anonymous bytes before the artifact was opened
  std::string pressure_file = "/proc/pressure/memory";
  double pressure_limit = 50;  // percent; a phone that waits half of the time is about to kill

  // The reason why no further step should be made, if there is one.
  std::optional<std::string> reason(const MemoryUse& now, bool before_first_step) const;
};

}  // namespace lowpeak::trainer
