// NEON's attention and elementwise kernels against the portable ones, small enough for an emulator.
//
// Prints the relative errors that exceed the tolerance; the exit code is their number.
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/c_api/threads.h"
#include "kernels/elementwise/elementwise_rows.h"

using namespace lowpeak;
using Floats = std::vector<float>;

namespace {

std::mt19937 generator(0);
int failures = 0;

Floats random_floats(int64_t count) {
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Floats result(static_cast<size_t>(count));
  for (float& x : result) x = uniform(generator);
  return result;
}

Floats nans(int64_t bytes) { return Floats(static_cast<size_t>(bytes) / sizeof(float), std::nanf("")); }

void expect_at_most(const char* what, double error, double bound) {
  if (error <= bound) return;
  std::printf("%s: relative error %g, at most %g\n", what, error, bound);
  ++failures;
}

void expect_equal(const char* what, const std::vector<Floats>& actual, const std::vector<Floats>& expected) {
  for (size_t output = 0; output < actual.size(); ++output) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < actual[output].size(); ++i) {
      error += std::pow(static_cast<double>(actual[output][i]) - expected[output][i], 2);
      norm += std::pow(static_cast<double>(expected[output][i]), 2);
    }
    expect_at_most(what, std::sqrt(error / norm), 1e-5);
  }
}

template <class Container>
auto view(Container& floats, int64_t token_stride, int64_t head_stride) {
  return Heads<std::remove_reference_t<decltype(floats[0])>>{floats.data(), token_stride, head_stride};
}

void check_attention(int64_t dim, int64_t tokens, int workers) {
  const int64_t heads = 6, key_heads = 2, begin = tokens / 3, queries = tokens - begin;
  const AttentionShape shape = {heads, key_heads, dim, begin, tokens, 0.2f};
  const Floats query = random_floats(heads * queries * dim), grad = random_floats(heads * queries * dim);
  const Floats key = random_floats(key_heads * tokens * dim), value = random_floats(key_heads * tokens * dim);
  Threads threads(workers);
  // Queries as [tokens, heads, dim], keys as [heads, tokens, dim].
  const auto of_queries = [&](auto& floats) { return view(floats, heads * dim, dim); };
  const auto of_keys = [&](auto& floats) { return view(floats, dim, tokens * dim); };
  const auto run = [&](Isa isa) {
    Floats out(query.size()), logsumexp(static_cast<size_t>(heads * queries));
    Floats grad_query(query.size()), grad_key(key.size()), grad_value(key.size());
    Floats scratch = nans(attention_forward_scratch_bytes(shape, workers, isa));
    attention_forward(
        {shape, of_queries(query), of_keys(key), of_keys(value), of_queries(out), logsumexp.data(), queries}, threads,
        scratch.data(), isa);
    scratch = nans(attention_backward_scratch_bytes(shape, workers, isa));
    const Floats& kept = out;
    attention_backward({shape, of_queries(grad), of_queries(query), of_keys(key), of_keys(value), of_queries(kept),
                        logsumexp.data(), queries, of_queries(grad_query), of_keys(grad_key), of_keys(grad_value), 0},
                       threads, scratch.data(), isa);
    return std::vector<Floats>{out, logsumexp, grad_query, grad_key, grad_value};
  };
  expect_equal("attention", run(Isa::neon), run(Isa::generic));
}

void check_elementwise(int64_t tokens, int64_t width) {
  const Floats x = random_floats(tokens * width), up = random_floats(tokens * width);
  const Floats grad = random_floats(tokens * width), weight = random_floats(width);
  Threads threads(2);
  const auto rows = [&](const Floats& floats) { return Rows<const float>{floats.data(), width}; };
  const auto target = [&](Floats& floats) { return Rows<float>{floats.data(), width}; };
  const auto run = [&](Isa isa) {
    std::vector<Floats> out(7, Floats(x.size()));
    Floats root(static_cast<size_t>(tokens));
    rms_norm_forward({tokens, width, 1e-5f, rows(x), weight.data(), target(out[0]), root.data()}, threads, isa);
    rms_norm_backward({tokens, width, rows(grad), rows(x), weight.data(), root.data(), rows(up), target(out[1])},
                      threads, isa);
    swiglu_forward({tokens, width, rows(x), rows(up), target(out[2])}, threads, isa);
    swiglu_backward({tokens, width, rows(grad), rows(x), rows(up), target(out[3]), target(out[4])}, threads, isa);
    const int64_t even = width / 2 * 2;
    const Heads<const float> head = {x.data(), width, 0};
    rotary_forward({1, tokens, even, head, rows(grad), rows(up), {out[5].data(), width, 0}}, threads, isa);
    rotary_backward({1, tokens, even, head, rows(grad), rows(up), {out[6].data(), width, 0}}, threads, isa);
    return out;
  };
  expect_equal("elementwise", run(Isa::neon), run(Isa::generic));
}

void check_exp() {
  Floats in;
  for (float x = -87.3f; x < 88.7f; x += 0.0137f) in.push_back(x);
  Floats out(in.size());
  elementwise_kernels(Isa::neon).exp(in.data(), out.data(), static_cast<int64_t>(in.size()));
  for (size_t i = 0; i < in.size(); ++i) {
    expect_at_most("exp", std::abs(out[i] / std::exp(static_cast<double>(in[i])) - 1), 1.5e-7);
  }
  const float infinity = std::numeric_limits<float>::infinity();
  const float ends[] = {-infinity, infinity};
  float results[2];
  elementwise_kernels(Isa::neon).exp(ends, results, 2);
  if (results[0] != 0 || results[1] != infinity) ++failures;
}

}  // namespace

int main() {
  for (int64_t dim : {5, 33, 64, 80})
    for (int64_t tokens : {70, 131})
      for (int workers : {1, 3}) check_attention(dim, tokens, workers);
  for (int64_t width : {2, 77, 128}) check_elementwise(5, width);
  check_exp();
  return failures;
}
