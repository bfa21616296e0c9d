// manifest.json, as far as a trainer reads it.
#include "trainer/manifest.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const auto manifest = lowpeak::trainer::Manifest::from_json(lowpeak::fuzz::text_of(data, size));
    for (const auto& bucket : manifest.buckets) {
      if (bucket.ids.size() != bucket.inputs.size() || bucket.plan.budget_bytes < 1) std::abort();
    }
  });
}
