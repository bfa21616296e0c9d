// The table of weights.ptd: what passes the check is what the manifest says.
#include "trainer/weights_check.h"

#include "input.h"
#include "trainer/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lowpeak::trainer;
  static const Manifest manifest = read_manifest(lowpeak::fuzz::folder() + "/artifact", std::nullopt);
  return lowpeak::fuzz::refused_or_read([&] {
    const lowpeak::fuzz::InputFile input(data, size);
    const Mapping file = Mapping::of_file(input.path());
    check_weights("weights.ptd", file, manifest.weights);
    for (const WeightRecord& each : manifest.weights) {
      if (static_cast<std::size_t>(each.offset + each.bytes()) > size) std::abort();
    }
  });
}
