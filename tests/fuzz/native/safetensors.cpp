// Batches, checkpoints, adapters: every byte of every tensor is there, and lies where its type may.
#include "trainer/safetensors.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const lowpeak::fuzz::InputFile input(data, size);
    const lowpeak::trainer::SafetensorsFile file(input.path());
    std::size_t bytes = 0;
    std::uint8_t sum = 0;
    for (const auto& [name, entry] : file.entries()) {
      if (entry.begin % entry.dtype->bytes != 0) std::abort();
      for (std::size_t i = entry.begin; i < entry.end; ++i) sum ^= file.data(entry)[i - entry.begin];
      bytes += entry.end - entry.begin;
    }
    if (bytes > size || (sum ^ sum) != 0) std::abort();
  });
}
