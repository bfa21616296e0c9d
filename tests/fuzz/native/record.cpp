// A line of training data.
#include "encode/record.h"

#include "input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return lowpeak::fuzz::refused_or_read([&] {
    const auto record = lowpeak::encode::read_record(lowpeak::fuzz::text_of(data, size));
    if (record.messages.size() != record.trained.size()) std::abort();
  });
}
