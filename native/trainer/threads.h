// On how many threads the kernels run, and on which processors: chosen as a run begins, kept when it goes on.
#pragma once

#include <optional>
#include <string>

#include "executorch/thread_pool.h"
#include "trainer/events.h"

namespace lowpeak::trainer {

constexpr int kMostThreads = kMaxWorkers;

struct ThreadOptions {
  std::optional<int> count;  // as asked for: 1 to kMostThreads
  std::string processors = "/sys/devices/system/cpu";
};

// Where some processors are faster than others, keeps the kernels on these, on as many threads as products are fastest
// with; elsewhere, and without `options.count`, all stays as the runtime has it. -> what was chosen, as an event.
//
// A run continues bit for bit only on as many threads as it began on: the number is kept in threads.json beside the
// checkpoint, and is that of a run that has `begun`. Before any program runs. Throws ArtifactError when that file is
// damaged, EnvironmentProblem when it cannot be written.
std::optional<Event> use_threads(const ThreadOptions& options, const std::optional<std::string>& checkpoint,
                                 bool begun);

}  // namespace lowpeak::trainer
