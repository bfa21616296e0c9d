#include "executorch/exports.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>

#include "executorch/pool.h"
#include "kernels/linear/linear.h"

namespace lowpeak {
namespace {

// Tokens, and the width of SmolLM2-135M's MLP: some milliseconds a product.
constexpr std::int64_t kRows = 128, kInputs = 576, kOutputs = 1536, kGroup = 32;

double products_per_second(double seconds) {
  const std::unique_ptr<float[]> x(new float[kRows * kInputs]()), y(new float[kRows * kOutputs]);
  const std::unique_ptr<float[]> scale(new float[kOutputs * kInputs / kGroup]());
  const std::unique_ptr<std::uint8_t[]> data(new std::uint8_t[kOutputs * kInputs / 2]());
  const QuantizedMatrix weight{data.get(), scale.get(), nullptr, kOutputs, kInputs, kGroup, 4, false};
  Pool pool;
  void* memory = scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return 0;
  using Clock = std::chrono::steady_clock;
  const auto product = [&] {
    linear_forward({x.get(), kRows, kInputs, kInputs}, weight, nullptr, {y.get(), kRows, kOutputs, kOutputs},
                   Write::replace, pool, memory);
  };
  product();  // starts the threads and fills the caches
  const Clock::time_point started = Clock::now();
  std::chrono::duration<double> passed{};
  std::int64_t count = 0;
  do {
    product();
    ++count;
    passed = Clock::now() - started;
  } while (passed.count() < seconds);
  return static_cast<double>(count) / passed.count();
}

}  // namespace
}  // namespace lowpeak

double lowpeak_products_per_second(double seconds) {
  try {
    return lowpeak::products_per_second(seconds);
  } catch (const std::bad_alloc&) {
    return 0;
  }
}
