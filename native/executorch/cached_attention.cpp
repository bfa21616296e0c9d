// lowpeak::cached_attention.
#include "cached_attention.h"

#include <cstring>

#include "call.h"
#include "kernels.h"

namespace lowpeak {
namespace {

// A tensor [1, heads, tokens, dim], or [1, tokens, heads, dim] if heads_axis is 2.
template <class Float>
Heads<Float> heads_of(Float* data, const Tensor& tensor, int64_t heads_axis) {
  const int64_t heads = tensor.size(heads_axis), tokens = tensor.size(3 - heads_axis), dim = tensor.size(3);
  return {data, heads_axis == 1 ? dim : heads * dim, heads_axis == 1 ? tokens * dim : dim};
}

void append(const Tensor& rows, const Tensor& cache, int64_t start, int64_t heads_axis) {
  const int64_t tokens = rows.size(3 - heads_axis), dim = rows.size(3);
  const auto from = heads_of(rows.const_data_ptr<float>(), rows, heads_axis);
  const auto to = heads_of(cache.mutable_data_ptr<float>(), cache, 1);
  for (int64_t head = 0; head < cache.size(1); ++head) {
    for (int64_t token = 0; token < tokens; ++token) {
      std::memcpy(to.row(head, start + token), from.row(head, token), static_cast<size_t>(dim) * sizeof(float));
    }
  }
}

}  // namespace

// values: query, key, value, key cache, value cache, positions, scale, heads_axis, out, out
void cached_attention_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(10) || !call.are_floats({0, 1, 2, 3, 4, 8}) || !call.are(ScalarType::Long, {5})) return;
  const int64_t axis = call.integer(7);
  if (!call.require(axis == 1 || axis == 2)) return;
  for (size_t i : {0, 1, 2, 3, 4}) {
    if (!call.require(call.tensor(i).dim() == 4 && call.tensor(i).size(0) == 1)) return;
  }
  const Tensor &query = call.tensor(0), &key = call.tensor(1), &value = call.tensor(2), &positions = call.tensor(5);
  const Tensor &key_cache = call.tensor(3), &value_cache = call.tensor(4), &out = call.tensor(8);
  const int64_t tokens = query.size(3 - axis), heads = query.size(axis), key_heads = key.size(axis);
  const int64_t dim = query.size(3), longest = key_cache.size(2);
  if (!call.same_size({0, 8}) || !call.same_size({1, 2}) || !call.same_size({3, 4}) ||
      !call.require(positions.numel() == tokens && tokens > 0 && key.size(3 - axis) == tokens && key.size(3) == dim &&
                    key_cache.size(1) == key_heads && key_cache.size(3) == dim && key_heads > 0 &&
                    heads % key_heads == 0)) {
    return;
  }
  const int64_t start = *positions.const_data_ptr<int64_t>();
  if (!call.require(start >= 0 && start <= longest - tokens)) return;
  append(key, key_cache, start, axis);
  append(value, value_cache, start, axis);
  const AttentionShape shape = {heads, key_heads, dim, start, start + tokens, call.number(6)};
  Pool pool;
  // Room for the longest cache: it is asked for once.
  AttentionShape most = shape;
  most.begin = longest - tokens;
  most.end = longest;
  void* memory = call.scratch(cached_attention_scratch_bytes(most, pool.workers()));
  if (!memory) return;
  cached_attention({shape, heads_of(query.const_data_ptr<float>(), query, axis),
                    heads_of(key_cache.const_data_ptr<float>(), key_cache, 1),
                    heads_of(value_cache.const_data_ptr<float>(), value_cache, 1),
                    heads_of(out.mutable_data_ptr<float>(), out, axis)},
                   pool, memory);
}

}  // namespace lowpeak
