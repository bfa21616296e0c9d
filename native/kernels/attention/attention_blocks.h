// What an instruction set provides of attention: the work on one block. attention.cpp orders the blocks.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/cached_attention.h"

namespace lowpeak {

// Queries of a block. The blocks of scores (kQueryBlock x kQueryBlock floats) stay in the first level cache.
constexpr int64_t kQueryBlock = 64;

// Queries [query_begin, query_end) (at most kQueryBlock, counted in tokens) of `heads` heads from `head` on; all
// of them read the same key head.
struct ForwardBlock {
  int64_t head, heads;
  int64_t query_begin, query_end;
};

// Keys [key_begin, key_end) of a key head against queries [query_begin, query_end) of its group, in tokens.
struct BackwardBlock {
  int64_t key_head;
  int64_t key_begin, key_end;
  int64_t query_begin, query_end;
};

struct AttentionKernels {
  // Floats of scratch of one worker.
  int64_t (*forward_scratch)(int64_t dim, int64_t heads);
  int64_t (*backward_scratch)(int64_t dim);
  void (*forward)(const AttentionForward& arguments, const ForwardBlock& block, float* scratch);
  // Sums of grad * out over dim for the queries (counted from 0) of a head.
  void (*delta)(const AttentionBackward& arguments, int64_t head, int64_t query_begin, int64_t query_end, float* delta);
  // Adds to all three gradients. delta: [heads, end - begin].
  void (*backward)(const AttentionBackward& arguments, const BackwardBlock& block, const float* delta, float* scratch);
  // The out of the one query of a head; scratch: shape.end floats.
  void (*one_query)(const CachedAttention& arguments, int64_t head, float* scratch);
};

extern const AttentionKernels kGenericAttentionKernels;
extern const AttentionKernels kAvx2AttentionKernels;
extern const AttentionKernels kAvx512AttentionKernels;
extern const AttentionKernels kNeonAttentionKernels;

// The kernels of `isa`, for which has_isa() must hold.
const AttentionKernels& attention_kernels(Isa isa);

}  // namespace lowpeak
