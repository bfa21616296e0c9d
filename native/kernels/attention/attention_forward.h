// One query block of attention's forward: walks the keys, keeps the running softmax.
//
// Scores are made transposed, [keys, queries]: then a vector holds queries, the softmax needs no sums across
// lanes, and keys are read in place; only values are packed.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_blocks.h"
#include "kernels/attention/attention_product.h"
#include "kernels/simd/exponential.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

constexpr int64_t kForwardKeys = 64;

// Scratch of the block of one head.
struct ForwardHead {
  float* query;    // transposed panels
  float* sum;      // [kQueryBlock, padded dim]: the values' weighted sum so far
  float* highest;  // [kQueryBlock]: the highest score so far
  float* weight;   // [kQueryBlock]: the sum of the exponentials so far
};

inline int64_t forward_head_floats(int64_t dim) { return kQueryBlock * (dim + padded_to_panel(dim) + 2); }

inline int64_t forward_scratch(int64_t dim, int64_t heads) {
  return heads * forward_head_floats(dim) + kForwardKeys * (padded_to_panel(dim) + kQueryBlock) + kQueryBlock;
}

// scores [keys, kQueryBlock] -> e^(score - highest); the factors by which earlier sums shrink.
//
// offset: query r sees the keys up to r + offset of the block.
inline void update_softmax(float* scores, int64_t keys, int64_t queries, int64_t offset, float scale, float* highest,
                           float* weight, float* shrink) {
  const Vec factor = set(scale), hidden = set(-std::numeric_limits<float>::infinity());
  for (int64_t first = 0; first < queries; first += kSimdWidth) {
    float* column = scores + first;
    // Keys that all of these queries see, and keys that at least one of them sees.
    const int64_t seen = std::min(keys, first + offset + 1), touched = std::min(keys, first + offset + kSimdWidth);
    for (int64_t key = std::max<int64_t>(seen, 0); key < touched; ++key) {
      float* score = column + key * kQueryBlock;
      const Mask masked = lane_index() < set(static_cast<float>(key - offset - first));
      store(score, select(masked, hidden, load(score)));
    }
    // scale may be negative: the highest score is that of the scaled ones.
    Vec most[4] = {load(highest + first), hidden, hidden, hidden};
    int64_t key = 0;
    for (; key + 4 <= touched; key += 4)
      for (int i = 0; i < 4; ++i) most[i] = max(most[i], load(column + (key + i) * kQueryBlock) * factor);
    for (; key < touched; ++key) most[0] = max(most[0], load(column + key * kQueryBlock) * factor);
    const Vec now = max(max(most[0], most[1]), max(most[2], most[3]));
    const Vec less = exp_below_88(load(highest + first) - now);
    Vec sum[2] = {load(weight + first) * less, set(0.0f)};
    const Vec minus = set(0.0f) - now;
    for (key = 0; key + 2 <= touched; key += 2)
      for (int i = 0; i < 2; ++i) {
        float* score = column + (key + i) * kQueryBlock;
        const Vec power = exp_below_88(fma(load(score), factor, minus));
        sum[i] = sum[i] + power;
        store(score, power);
      }
    for (; key < touched; ++key) {
      float* score = column + key * kQueryBlock;
      const Vec power = exp_below_88(fma(load(score), factor, minus));
      sum[0] = sum[0] + power;
      store(score, power);
    }
    for (key = std::max<int64_t>(touched, 0); key < keys; ++key) store(column + key * kQueryBlock, set(0.0f));
    store(highest + first, now);
    store(weight + first, sum[0] + sum[1]);
    store(shrink + first, less);
  }
}

inline void multiply_rows(float* matrix, int64_t rows, int64_t cols, const float* factors) {
  for (int64_t row = 0; row < rows; ++row, matrix += cols) {
    if (factors[row] == 1.0f) continue;
    const Vec factor = set(factors[row]);
    for (int64_t col = 0; col < cols; col += kSimdWidth) store(matrix + col, load(matrix + col) * factor);
  }
}

inline void write_forward(const ForwardHead& state, const AttentionForward& arguments, int64_t head, int64_t row,
                          int64_t queries) {
  const int64_t dim = arguments.shape.dim, padded = padded_to_panel(dim);
  float* logsumexp = arguments.logsumexp + head * arguments.logsumexp_head_stride + row;
  for (int64_t query = 0; query < queries; ++query) {
    const float weight = state.weight[query];
    logsumexp[query] = state.highest[query] + std::log(weight);
    const float* sum = state.sum + query * padded;
    float* out = arguments.out.row(head, row + query);
    const Vec share = set(1.0f / weight);
    int64_t col = 0;
    for (; col + kSimdWidth <= dim; col += kSimdWidth) store(out + col, load(sum + col) * share);
    if (col < dim) store_first(out + col, load(sum + col) * share, dim - col);
  }
}

inline void forward_block(const AttentionForward& arguments, const ForwardBlock& block, float* scratch) {
  const AttentionShape& shape = arguments.shape;
  const int64_t dim = shape.dim, padded = padded_to_panel(dim);
  const int64_t queries = block.query_end - block.query_begin, row = block.query_begin - shape.begin;
  const int64_t key_head = block.head / (shape.heads / shape.key_heads);
  float* values = scratch;
  float* scores = values + kForwardKeys * padded;
  float* shrink = scores + kForwardKeys * kQueryBlock;
  const auto state = [&](int64_t i) {
    float* at = shrink + kQueryBlock + i * forward_head_floats(dim);
    float* sum = at + kQueryBlock * dim;
    float* highest = sum + kQueryBlock * padded;
    return ForwardHead{at, sum, highest, highest + kQueryBlock};
  };

  for (int64_t i = 0; i < block.heads; ++i) {
    const ForwardHead head = state(i);
    pack_transposed(arguments.query.row(block.head + i, row), arguments.query.token_stride, queries, dim, dim,
                    head.query);
    std::fill_n(head.sum, queries * padded, 0.0f);
    std::fill_n(head.highest, kQueryBlock, -std::numeric_limits<float>::infinity());
    std::fill_n(head.weight, kQueryBlock, 0.0f);
  }
  for (int64_t first = 0; first < block.query_end; first += kForwardKeys) {
    const int64_t keys = std::min(kForwardKeys, block.query_end - first), offset = block.query_begin - first;
    pack(arguments.value.row(key_head, first), arguments.value.token_stride, keys, dim, values);
    const Strided left{arguments.key.row(key_head, first), arguments.key.token_stride, 1};
    for (int64_t i = 0; i < block.heads; ++i) {
      const ForwardHead head = state(i);
      product<false>(
          keys, queries, dim, left, head.query, scores, kQueryBlock,
          [&](int64_t key, int64_t, int64_t query) { return Span{0, key <= query + kNr - 1 + offset ? dim : 0}; });
      update_softmax(scores, keys, queries, offset, shape.scale, head.highest, head.weight, shrink);
      if (first > 0) multiply_rows(head.sum, queries, padded, shrink);
      product<true>(
          queries, padded, keys, Strided{scores, 1, kQueryBlock}, values, head.sum, padded,
          [&](int64_t query, int64_t rows, int64_t) { return Span{0, std::min(keys, query + rows + offset)}; });
    }
  }
  for (int64_t i = 0; i < block.heads; ++i) write_forward(state(i), arguments, block.head + i, row, queries);
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
