// The next token by its logits: the likeliest, or drawn by chance that a seed decides, the same on every platform.
#pragma once

#include <cstdint>

namespace lowpeak::trainer {

class Sampler {
 public:
  // temperature 0: the likeliest. Throws an Error of kind ValueError for one below 0.
  Sampler(double temperature, std::int64_t seed);

  // Of `count` > 0 logits; the first of several that are the likeliest. Throws an Error when none is finite.
  std::int64_t next(const float* logits, std::int64_t count);

 private:
  double uniform();  // in [0, 1)

  const double temperature_;
  std::uint64_t state_;
};

}  // namespace lowpeak::trainer
