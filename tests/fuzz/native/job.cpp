// A job of `train`.
#include "trainer/job.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const auto job = lowpeak::trainer::Job::from_json(lowpeak::fuzz::text_of(data, size));
    if (job.total_steps < 1 || job.accumulate < 1) std::abort();
  });
}
