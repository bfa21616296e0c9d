#include "trainer/processors.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

#include "trainer/files.h"

namespace lowpeak::trainer {
namespace {

// How much of the fastest's speed a big one has at least. A little one of a phone has a capacity of 0.2 to 0.4, one in
// between 0.5 to 0.7; clock rates, which say less, are 0.6 to 0.7.
struct Measure {
  const char* file;
  double least_share;
};
constexpr Measure kMeasures[] = {{"cpu_capacity", 0.5}, {"cpufreq/cpuinfo_max_freq", 0.75}};

// 0 if it is not told.
double told(const std::string& file) {
  try {
    return std::strtod(read_text(file).c_str(), nullptr);
  } catch (const SystemError&) {
    return 0;
  }
}

}  // namespace

std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> numbers;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return numbers;
  for (int number = 0; number < CPU_SETSIZE; ++number) {
    if (CPU_ISSET(static_cast<std::size_t>(number), &set)) numbers.push_back(number);
  }
  return numbers;
}

std::vector<int> big_processors(const std::string& folder, const std::vector<int>& allowed) {
  for (const Measure& measure : kMeasures) {
    std::vector<double> speeds;
    for (const int number : allowed) {
      speeds.push_back(told(folder + "/cpu" + std::to_string(number) + "/" + measure.file));
    }
    if (speeds.empty() || *std::min_element(speeds.begin(), speeds.end()) <= 0) continue;
    const double least = measure.least_share * *std::max_element(speeds.begin(), speeds.end());
    std::vector<int> big;
    for (std::size_t i = 0; i < allowed.size(); ++i) {
      if (speeds[i] >= least) big.push_back(allowed[i]);
    }
    return big.size() < allowed.size() ? big : std::vector<int>();
  }
  return {};
}

bool stay_on(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int number : processors) CPU_SET(static_cast<std::size_t>(number), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace lowpeak::trainer
