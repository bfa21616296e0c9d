// Attention of tokens that follow others, over a cache of keys and values: lowpeak::cached_attention.
#pragma once

#include <cstdint>

#include "kernels/attention/attention.h"

namespace lowpeak {

// Rows begin .. end of key and value are those of the queries, and are in the cache already.
struct CachedAttention {
  AttentionShape shape;
  Heads<const float> query, key, value;  // row 0 of query and out is token `begin`, of key and value token 0
  Heads<float> out;
};

// Bytes of scratch that a call needs, at any alignment.
int64_t cached_attention_scratch_bytes(const AttentionShape& shape, int workers, Isa isa = best_isa());

void cached_attention(const CachedAttention& arguments, Parallel& parallel, void* scratch, Isa isa = best_isa());

}  // namespace lowpeak
