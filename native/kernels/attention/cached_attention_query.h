// One query of one head against all keys of a cache.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/attention/cached_attention.h"
#include "kernels/simd/exponential.h"
#include "kernels/simd/lanes.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int kSummedVectors = 8;

inline float product_with_key(const float* query, const float* key, int64_t dim) {
  Vec sum[2] = {set(0.0f), set(0.0f)};
  int64_t i = 0;
  for (; i + 2 * kSimdWidth <= dim; i += 2 * kSimdWidth) {
    sum[0] = fma(load(query + i), load(key + i), sum[0]);
    sum[1] = fma(load(query + i + kSimdWidth), load(key + i + kSimdWidth), sum[1]);
  }
  for (; i + kSimdWidth <= dim; i += kSimdWidth) sum[0] = fma(load(query + i), load(key + i), sum[0]);
  if (i < dim) sum[1] = fma(load_first(query + i, dim - i), load_first(key + i, dim - i), sum[1]);
  return reduce_add(sum[0] + sum[1]);
}

// scores -> e^(score - highest); their sum.
inline float exponentials(float* scores, int64_t count, float highest) {
  Vec sum = set(0.0f);
  const Vec most = set(highest);
  int64_t i = 0;
  for (; i + kSimdWidth <= count; i += kSimdWidth) {
    const Vec power = exp_below_88(load(scores + i) - most);
    store(scores + i, power);
    sum = sum + power;
  }
  float rest = 0;
  if (i < count) {
    store_first(scores + i, exp_below_88(load_first(scores + i, count - i) - most), count - i);
    for (; i < count; ++i) rest += scores[i];
  }
  return reduce_add(sum) + rest;
}

// scores: shape.end floats of scratch.
inline void one_query(const CachedAttention& arguments, int64_t head, float* scores) {
  const AttentionShape& shape = arguments.shape;
  const int64_t key_head = head / (shape.heads / shape.key_heads), dim = shape.dim;
  const float* query = arguments.query.row(head, 0);
  float highest = -std::numeric_limits<float>::infinity();
  for (int64_t key = 0; key < shape.end; ++key) {
    scores[key] = shape.scale * product_with_key(query, arguments.key.row(key_head, key), dim);
    highest = std::max(highest, scores[key]);
  }
  const Vec share = set(1.0f / exponentials(scores, shape.end, highest));
  float* out = arguments.out.row(head, 0);
  int64_t col = 0;
  for (; col + kSummedVectors * kSimdWidth <= dim; col += kSummedVectors * kSimdWidth) {
    Vec sum[kSummedVectors];
    for (int i = 0; i < kSummedVectors; ++i) sum[i] = set(0.0f);
    for (int64_t key = 0; key < shape.end; ++key) {
      const Vec weight = set(scores[key]);
      const float* value = arguments.value.row(key_head, key) + col;
      for (int i = 0; i < kSummedVectors; ++i) sum[i] = fma(weight, load(value + i * kSimdWidth), sum[i]);
    }
    for (int i = 0; i < kSummedVectors; ++i) store(out + col + i * kSimdWidth, sum[i] * share);
  }
  each_vector(dim - col, [&](int64_t i, auto lanes) {
    Vec sum = set(0.0f);
    for (int64_t key = 0; key < shape.end; ++key) {
      sum = fma(set(scores[key]), lanes.load(arguments.value.row(key_head, key) + col + i), sum);
    }
    lanes.store(out + col + i, sum * share);
  });
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
