// Causal grouped-query attention in O(tokens) memory: lowpeak::causal_attention and its backward.
//
// Source: FlashAttention-2 (Dao 2023): online softmax forward, probabilities from the logsumexp backward.
// A call does the queries [begin, end) of one sequence against the keys [0, end), so a sequence can be done
// tile by tile. A batch is a loop outside.
#pragma once

#include <cstdint>

#include "kernels/parallel.h"
#include "kernels/simd/cpu.h"
#include "kernels/tensors.h"

namespace lowpeak {

struct AttentionShape {
  int64_t heads;
  int64_t key_heads;  // divides heads; query head h reads key head h / (heads / key_heads)
  int64_t dim;
  int64_t begin;  // first query
  int64_t end;    // one past the last query and the last key
  float scale;    // of the scores
};

// Bytes of scratch that a call needs, at any alignment.
int64_t attention_forward_scratch_bytes(const AttentionShape& shape, int workers, Isa isa = best_isa());
int64_t attention_backward_scratch_bytes(const AttentionShape& shape, int workers, Isa isa = best_isa());

// Row 0 of query, out and logsumexp is token `begin`; row 0 of key and value is token 0.
// logsumexp: [heads, end - begin], contiguous along tokens.
struct AttentionForward {
  AttentionShape shape;
  Heads<const float> query, key, value;
  Heads<float> out;
  float* logsumexp;
  int64_t logsumexp_head_stride;
};

void attention_forward(const AttentionForward& arguments, Parallel& parallel, void* scratch, Isa isa = best_isa());

// Row 0 of grad, query, out, logsumexp and grad_query is token `begin`; row 0 of the keys' is token 0.
// grad_key and grad_value: rows below `written` are added to, rows written..end are overwritten. Tiles that run
// from the last to the first give 0, then the number of tokens.
struct AttentionBackward {
  AttentionShape shape;
  Heads<const float> grad, query, key, value, out;
  const float* logsumexp;
  int64_t logsumexp_head_stride;
  Heads<float> grad_query, grad_key, grad_value;
  int64_t written;
};

void attention_backward(const AttentionBackward& arguments, Parallel& parallel, void* scratch, Isa isa = best_isa());

}  // namespace lowpeak
