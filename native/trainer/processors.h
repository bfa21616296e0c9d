// The machine's processors, and which of them are the fast ones.
#pragma once

#include <string>
#include <vector>

namespace lowpeak::trainer {

// Those that this process may use, by their numbers: what its control group leaves.
std::vector<int> allowed_processors();

// The fast ones of `allowed`, by the capacities or else the highest clock rates that files in `folder` tell, which
// is /sys/devices/system/cpu; none when all are alike or nothing is told.
std::vector<int> big_processors(const std::string& folder, const std::vector<int>& allowed);

// Threads that the calling one starts from now on run on these only, as it does itself. False if the system refuses.
bool stay_on(const std::vector<int>& processors);

}  // namespace lowpeak::trainer
