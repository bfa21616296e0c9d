#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "kernels/linear/linear.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "kernels/c_api/threads.h"

namespace lowpeak {
namespace {

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 bits(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> made(count);
  for (float& value : made) value = uniform(bits);
  return made;
}

std::vector<Isa> isas() {
  std::vector<Isa> made;
  for (const Isa isa : {Isa::generic, Isa::avx2, Isa::neon, Isa::avx512}) {
    if (has_isa(isa)) made.push_back(isa);
  }
  return made;
}

// Weights of `bits` bits, and what they mean.
struct Weights {
  int64_t rows, cols, group_size;
  int bits;
  std::vector<uint8_t> data;
  std::vector<float> scale, zero_point;

  Weights(int64_t rows, int64_t cols, int64_t group_size, int bits)
      : rows(rows), cols(cols), group_size(group_size), bits(bits) {
    std::mt19937 random(1);
    for (int64_t i = 0; i < rows * cols * bits / 8; ++i) data.push_back(static_cast<uint8_t>(random()));
    scale = random_values(rows * cols / group_size, 2);
    zero_point = random_values(rows * cols / group_size, 3);
  }

  QuantizedMatrix matrix() const {
    return {data.data(), scale.data(), zero_point.data(), rows, cols, group_size, bits, false};
  }

  double at(int64_t row, int64_t col) const {
    const int64_t index = row * cols + col, group = row * (cols / group_size) + col / group_size;
    const uint8_t byte = data[index * bits / 8];
    const int value = bits == 8 ? static_cast<int8_t>(byte) : (index % 2 == 0 ? byte >> 4 : byte & 15) - 8;
    return (value - static_cast<double>(zero_point[group])) * scale[group];
  }
};

struct Case {
  int64_t tokens, outputs, inputs, group_size;
};

const Case kCases[] = {{1, 5, 32, 32}, {7, 33, 64, 32}, {19, 17, 96, 16}, {300, 40, 64, 64}};

}  // namespace

TEST_CASE("linear_forward is x @ weight^T + bias, and input_gradient dy @ weight") {
  Threads threads(3);
  std::vector<uint8_t> scratch(matmul_scratch_bytes(threads.workers()));
  for (const Isa isa : isas()) {
    for (const int bits : {4, 8}) {
      for (const Case& size : kCases) {
        const Weights weights(size.outputs, size.inputs, size.group_size, bits);
        const auto x = random_values(size.tokens * size.inputs, 4), bias = random_values(size.outputs, 5);
        const auto dy = random_values(size.tokens * size.outputs, 6);
        std::vector<float> y(size.tokens * size.outputs, 1.0f), dx(size.tokens * size.inputs, 1.0f);
        linear_forward({x.data(), size.tokens, size.inputs, size.inputs}, weights.matrix(), bias.data(),
                       {y.data(), size.tokens, size.outputs, size.outputs}, Write::replace, threads, scratch.data(),
                       isa);
        linear_input_gradient({dy.data(), size.tokens, size.outputs, size.outputs}, weights.matrix(),
                              {dx.data(), size.tokens, size.inputs, size.inputs}, Write::accumulate, threads,
                              scratch.data(), isa);
        double error = 0;
        for (int64_t t = 0; t < size.tokens; ++t) {
          for (int64_t o = 0; o < size.outputs; ++o) {
            double expected = bias[o];
            for (int64_t i = 0; i < size.inputs; ++i) expected += x[t * size.inputs + i] * weights.at(o, i);
            error = std::max(error, std::abs(expected - y[t * size.outputs + o]));
          }
          for (int64_t i = 0; i < size.inputs; ++i) {
            double expected = 1;
            for (int64_t o = 0; o < size.outputs; ++o) expected += dy[t * size.outputs + o] * weights.at(o, i);
            error = std::max(error, std::abs(expected - dx[t * size.inputs + i]));
          }
        }
        // Sums of at most 96 products of up to 130: a float's rounding of each.
        const double most = 96 * (bits == 4 ? 10 : 130) * 6e-8 * 8;
        INFO("isa ", static_cast<int>(isa), ", ", bits, " bits, ", size.tokens, " x ", size.outputs);
        CHECK(error < most);
      }
    }
  }
}

TEST_CASE("results are the same bits for every number of threads") {
  const Weights weights(70, 64, 32, 4);
  const auto x = random_values(50 * 64, 4);
  std::vector<float> first;
  for (const int workers : {1, 2, 5}) {
    Threads threads(workers);
    std::vector<uint8_t> scratch(matmul_scratch_bytes(workers));
    std::vector<float> y(50 * 70);
    linear_forward({x.data(), 50, 64, 64}, weights.matrix(), nullptr, {y.data(), 50, 70, 70}, Write::replace, threads,
                   scratch.data());
    if (first.empty()) first = y;
    CHECK(y == first);
  }
}

}  // namespace lowpeak
