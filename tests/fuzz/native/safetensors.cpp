// Batches, checkpoints, adapters: every byte of every tensor is there, and lies where its type may.
#include "trainer/safetensors.h"

#include <vector>

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const lowpeak::fuzz::InputFile input(data, size);
    const lowpeak::trainer::SafetensorsFile file(input.path());
    std::size_t bytes = 0;
    std::vector<std::uint8_t> tensor;
    for (const auto& [name, entry] : file.entries()) {
      if (entry.begin % entry.dtype->bytes != 0) std::abort();
      tensor.resize(entry.end - entry.begin);
      file.read(entry, tensor.data());
      bytes += tensor.size();
    }
    if (bytes > size) std::abort();
  });
}
