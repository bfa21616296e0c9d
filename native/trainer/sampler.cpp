#include "trainer/sampler.h"

#include <algorithm>
#include <cmath>

#include "trainer/error.h"
#include "trainer/json.h"

namespace lowpeak::trainer {

Sampler::Sampler(double temperature, std::int64_t seed)
    : temperature_(temperature), state_(static_cast<std::uint64_t>(seed)) {
  if (!(temperature >= 0) || !std::isfinite(temperature)) {
    throw Error("ValueError", "temperature must be 0 or more, not " + python_float(temperature));
  }
}

std::int64_t Sampler::next(const float* logits, std::int64_t count) {
  // NaN is below everything.
  const auto less = [](float a, float b) { return a < b || (std::isnan(a) && !std::isnan(b)); };
  const float* most = std::max_element(logits, logits + count, less);
  if (!std::isfinite(*most)) {
    throw Error("RuntimeError", "the model's logits are not finite: " + python_float(static_cast<double>(*most)));
  }
  if (temperature_ == 0) return most - logits;
  const auto weight = [&](std::int64_t i) {
    return std::isnan(logits[i]) ? 0.0 : std::exp((static_cast<double>(logits[i]) - *most) / temperature_);
  };
  double total = 0;
  for (std::int64_t i = 0; i < count; ++i) total += weight(i);
  double left = uniform() * total;
  for (std::int64_t i = 0; i < count; ++i) {
    left -= weight(i);
    if (left < 0) return i;
  }
  return most - logits;
}

// SplitMix64 (Steele, Lea, Flood 2014).
double Sampler::uniform() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
}

}  // namespace lowpeak::trainer
