#include "trainer/batch_ranges.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "trainer/files.h"

namespace lowpeak::trainer {
namespace {

constexpr char kSuffix[] = ".safetensors";

// Of a file's name; none if it is no file of batches.
std::optional<BatchRange> range_of(const char* name) {
  const char* stop = name + std::strlen(name);
  BatchRange range{};
  const auto [dash, one] = std::from_chars(name, stop, range.first);
  if (one != std::errc() || dash == stop || *dash != '-') return std::nullopt;
  const auto [suffix, other] = std::from_chars(dash + 1, stop, range.end);
  if (other != std::errc() || std::string(suffix) != kSuffix) return std::nullopt;
  // Signs and leading zeros would make two names of one range.
  const bool counts = range.first >= 0 && range.first < range.end && range.file() == name;
  return counts ? std::optional(range) : std::nullopt;
}

}  // namespace

std::string BatchRange::file() const { return std::to_string(first) + "-" + std::to_string(end) + kSuffix; }

std::vector<BatchRange> batch_ranges_in(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), ::closedir);
  if (entries == nullptr) throw SystemError();
  std::vector<BatchRange> ranges;
  while (const dirent* entry = ::readdir(entries.get())) {
    if (const auto range = range_of(entry->d_name)) ranges.push_back(*range);
  }
  std::sort(ranges.begin(), ranges.end(), [](const BatchRange& a, const BatchRange& b) { return a.first < b.first; });
  return ranges;
}

}  // namespace lowpeak::trainer
