// Attention's backward for a rectangle of keys and queries.
//
// Key blocks are outside: keys and values are packed once, the gradients of a key block stay in the cache while
// all queries of the group pass by. Each pair of blocks makes its scores again and takes five products.
#pragma once

#include <algorithm>

#include "kernels/attention/attention_blocks.h"
#include "kernels/attention/attention_product.h"
#include "kernels/simd/exponential.h"

namespace lowpeak {
inline namespace LOWPEAK_ISA {

// Fewer keys where a head is wide, so that what a key block keeps fits a second level cache of 512 KB.
inline int64_t backward_keys(int64_t dim) { return dim <= 160 ? 64 : 32; }

struct BackwardScratch {
  // Of the key block.
  float* key_transposed;    // panels [padded dim, keys]
  float* value_transposed;  // panels [padded dim, keys]
  float* key;               // panels [keys, padded dim]
  float* grad_key;          // [keys, padded dim]
  float* grad_value;        // [keys, padded dim]
  // Of the query block.
  float* query;        // panels [queries, padded dim]
  float* grad;         // panels [queries, padded dim]
  float* probability;  // [kQueryBlock, keys]
  float* grad_score;   // [kQueryBlock, keys]
};

inline int64_t backward_scratch(int64_t dim) {
  return padded_to_panel(dim) * (5 * backward_keys(dim) + 2 * kQueryBlock) + 2 * kQueryBlock * backward_keys(dim);
}

inline BackwardScratch divide_backward_scratch(float* scratch, int64_t dim) {
  const int64_t key_floats = backward_keys(dim) * padded_to_panel(dim);
  const int64_t query_floats = kQueryBlock * padded_to_panel(dim);
  const auto take = [&](int64_t floats) {
    float* taken = scratch;
    scratch += floats;
    return taken;
  };
  BackwardScratch result;
  result.key_transposed = take(key_floats);
  result.value_transposed = take(key_floats);
  result.key = take(key_floats);
  result.grad_key = take(key_floats);
  result.grad_value = take(key_floats);
  result.query = take(query_floats);
  result.grad = take(query_floats);
  result.probability = take(kQueryBlock * backward_keys(dim));
  result.grad_score = take(kQueryBlock * backward_keys(dim));
  return result;
}

inline float dot(const float* a, const float* b, int64_t count) {
  Vec sum = set(0.0f);
  int64_t i = 0;
  for (; i + kSimdWidth <= count; i += kSimdWidth) sum = fma(load(a + i), load(b + i), sum);
  if (i < count) sum = fma(load_first(a + i, count - i), load_first(b + i, count - i), sum);
  return reduce_add(sum);
}

inline void backward_delta(const AttentionBackward& arguments, int64_t head, int64_t query_begin, int64_t query_end,
                           float* delta) {
  for (int64_t query = query_begin; query < query_end; ++query) {
    delta[query] = dot(arguments.grad.row(head, query), arguments.out.row(head, query), arguments.shape.dim);
  }
}

inline void add_rows(const float* source, int64_t source_stride, int64_t rows, int64_t cols, float* target,
                     int64_t target_stride) {
  for (int64_t row = 0; row < rows; ++row, source += source_stride, target += target_stride) {
    int64_t col = 0;
    for (; col + kSimdWidth <= cols; col += kSimdWidth) store(target + col, load(target + col) + load(source + col));
    for (; col < cols; ++col) target[col] += source[col];
  }
}

// scores -> probabilities, their gradients -> those of the scores by query and key. Rows are `stride` apart.
//
// offset: query r sees the keys up to r + offset of the block.
inline void differentiate_softmax(float* scores, float* grads, int64_t stride, int64_t queries, int64_t keys,
                                  int64_t offset, float scale, const float* logsumexp, const float* delta) {
  const Vec factor = set(scale), none = set(0.0f);
  for (int64_t query = 0; query < queries; ++query, scores += stride, grads += stride) {
    const Vec minus = set(-logsumexp[query]), shift = set(-delta[query] * scale);
    const int64_t seen = std::min(keys, query + offset + 1);
    for (int64_t key = 0; key < keys; key += kSimdWidth) {
      if (key >= seen) {
        store(scores + key, none);
        store(grads + key, none);
        continue;
      }
      Vec probability = exp_below_88(fma(load(scores + key), factor, minus));
      Vec grad = probability * fma(load(grads + key), factor, shift);
      if (key + kSimdWidth > seen) {
        const Mask visible = lane_index() < set(static_cast<float>(seen - key));
        probability = select(visible, probability, none);
        grad = select(visible, grad, none);
      }
      store(scores + key, probability);
      store(grads + key, grad);
    }
  }
}

inline void backward_pair(const AttentionBackward& arguments, const BackwardScratch& scratch, int64_t head,
                          int64_t query_begin, int64_t queries, int64_t key_begin, int64_t keys, const float* delta) {
  const AttentionShape& shape = arguments.shape;
  const int64_t dim = shape.dim, padded = padded_to_panel(dim), stride = backward_keys(dim);
  const int64_t row = query_begin - shape.begin, offset = query_begin - key_begin;
  const Heads<const float>&query = arguments.query, &grad = arguments.grad;
  pack(query.row(head, row), query.token_stride, queries, dim, scratch.query);
  pack(grad.row(head, row), grad.token_stride, queries, dim, scratch.grad);

  const auto by_dim = [&](int64_t first, int64_t rows, int64_t key) {
    return Span{0, key < first + rows + offset ? padded : 0};
  };
  product<false>(queries, keys, padded, Panels{scratch.query, queries * kNr}, scratch.key_transposed,
                 scratch.probability, stride, by_dim);
  product<false>(queries, keys, padded, Panels{scratch.grad, queries * kNr}, scratch.value_transposed,
                 scratch.grad_score, stride, by_dim);
  differentiate_softmax(scratch.probability, scratch.grad_score, stride, queries, keys, offset, shape.scale,
                        arguments.logsumexp + head * arguments.logsumexp_head_stride + row, delta + row);
  const auto by_query = [&](int64_t key, int64_t, int64_t) {
    return Span{std::max<int64_t>(0, key - offset), queries};
  };
  product<true>(keys, padded, queries, Strided{scratch.probability, 1, stride}, scratch.grad, scratch.grad_value,
                padded, by_query);
  product<true>(keys, padded, queries, Strided{scratch.grad_score, 1, stride}, scratch.query, scratch.grad_key, padded,
                by_query);
  const Heads<float>& grad_query = arguments.grad_query;
  product<true>(queries, dim, keys, Strided{scratch.grad_score, stride, 1}, scratch.key, grad_query.row(head, row),
                grad_query.token_stride,
                [&](int64_t first, int64_t rows, int64_t) { return Span{0, std::min(keys, first + rows + offset)}; });
}

inline void backward_block(const AttentionBackward& arguments, const BackwardBlock& block, const float* delta,
                           float* memory) {
  const AttentionShape& shape = arguments.shape;
  const int64_t dim = shape.dim, padded = padded_to_panel(dim), group = shape.heads / shape.key_heads;
  const BackwardScratch scratch = divide_backward_scratch(memory, dim);
  for (int64_t first = block.key_begin; first < block.key_end; first += backward_keys(dim)) {
    const int64_t keys = std::min(backward_keys(dim), block.key_end - first);
    if (block.query_end <= first) break;
    const float* key = arguments.key.row(block.key_head, first);
    const float* value = arguments.value.row(block.key_head, first);
    pack_transposed(key, arguments.key.token_stride, keys, dim, padded, scratch.key_transposed);
    pack_transposed(value, arguments.value.token_stride, keys, dim, padded, scratch.value_transposed);
    pack(key, arguments.key.token_stride, keys, dim, scratch.key);
    std::fill_n(scratch.grad_key, keys * padded, 0.0f);
    std::fill_n(scratch.grad_value, keys * padded, 0.0f);
    for (int64_t query = block.query_begin; query < block.query_end; query += kQueryBlock) {
      const int64_t queries = std::min(kQueryBlock, block.query_end - query);
      if (query + queries <= first) continue;
      for (int64_t head = block.key_head * group; head < (block.key_head + 1) * group; ++head) {
        backward_pair(arguments, scratch, head, query, queries, first, keys, delta + head * (shape.end - shape.begin));
      }
    }
    add_rows(scratch.grad_key, padded, keys, dim, arguments.grad_key.row(block.key_head, first),
             arguments.grad_key.token_stride);
    add_rows(scratch.grad_value, padded, keys, dim, arguments.grad_value.row(block.key_head, first),
             arguments.grad_value.token_stride);
  }
}

}  // namespace LOWPEAK_ISA
}  // namespace lowpeak
