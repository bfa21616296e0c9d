#include "kernels/attention/cached_attention.h"

#include <algorithm>

#include "kernels/attention/attention_blocks.h"

namespace lowpeak {
namespace {

// Products of a query and a key that one thread is done with before another has begun.
constexpr int64_t kProductsAlone = 512;

bool is_one_query(const AttentionShape& shape) { return shape.end - shape.begin == 1; }

}  // namespace

int64_t cached_attention_scratch_bytes(const AttentionShape& shape, int workers, Isa isa) {
  // The scores of a query and a head; or the logsumexp that attention's forward gives beside its result.
  const int64_t floats = is_one_query(shape) ? workers * shape.end : shape.heads * (shape.end - shape.begin);
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  return is_one_query(shape) ? bytes : bytes + attention_forward_scratch_bytes(shape, workers, isa);
}

void cached_attention(const CachedAttention& arguments, Parallel& parallel, void* scratch, Isa isa) {
  const AttentionShape& shape = arguments.shape;
  float* memory = static_cast<float*>(scratch);
  if (!is_one_query(shape)) {
    const int64_t queries = shape.end - shape.begin;
    attention_forward({shape, arguments.query, arguments.key, arguments.value, arguments.out, memory, queries},
                      parallel, memory + shape.heads * queries, isa);
    return;
  }
  const AttentionKernels& kernels = attention_kernels(isa);
  const auto heads = [&](int64_t begin, int64_t end, int worker) {
    for (int64_t head = begin; head < end; ++head) kernels.one_query(arguments, head, memory + worker * shape.end);
  };
  if (shape.heads * shape.end <= kProductsAlone) {
    heads(0, shape.heads, 0);
  } else {
    parallel.run(shape.heads, heads);
  }
}

}  // namespace lowpeak
