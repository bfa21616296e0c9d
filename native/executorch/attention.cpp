// lowpeak::causal_attention and its backward, rotary.
#include "attention.h"

#include <algorithm>

#include "call.h"
#include "kernels.h"
#include "rotary.h"

namespace lowpeak {

namespace {

// A tensor [batch, heads, tokens, dim], or [batch, tokens, heads, dim] if heads_axis is 2.
struct Layout {
  int64_t batch, heads, tokens, dim, token_stride, head_stride;

  Layout(const Tensor& tensor, int64_t heads_axis)
      : batch(tensor.size(0)),
        heads(tensor.size(heads_axis)),
        tokens(tensor.size(3 - heads_axis)),
        dim(tensor.size(3)),
        token_stride(heads_axis == 1 ? dim : heads * dim),
        head_stride(heads_axis == 1 ? tokens * dim : dim) {}

  int64_t of_batch(int64_t index) const { return index * heads * tokens * dim; }
};

Heads<const float> read(const Tensor& tensor, const Layout& layout, int64_t batch) {
  return {tensor.const_data_ptr<float>() + layout.of_batch(batch), layout.token_stride, layout.head_stride};
}

Heads<float> write(const Tensor& tensor, const Layout& layout, int64_t batch) {
  return {tensor.mutable_data_ptr<float>() + layout.of_batch(batch), layout.token_stride, layout.head_stride};
}

bool are_heads(Call& call, size_t first, size_t last, int64_t heads_axis) {
  bool holds = heads_axis == 1 || heads_axis == 2;
  for (size_t i = first; i <= last; ++i) holds = holds && call.are_floats({i}) && call.tensor(i).dim() == 4;
  return call.require(holds);
}

// Whether queries from token `start` on can attend to the keys, with a logsumexp for each.
bool fit(Call& call, const Layout& queries, const Layout& keys, int64_t start, const Tensor& logsumexp) {
  return call.require(start >= 0 && start + queries.tokens <= keys.tokens && queries.batch == keys.batch &&
                      queries.dim == keys.dim && keys.heads > 0 && queries.heads % keys.heads == 0 &&
                      logsumexp.numel() == queries.batch * queries.heads * queries.tokens);
}

}  // namespace

// values: query, key, value, scale, heads_axis, start, out, logsumexp, [out, logsumexp]
void causal_attention_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(9)) return;
  const int64_t axis = call.integer(4), start = call.integer(5);
  if (!are_heads(call, 0, 2, axis) || !call.are_floats({6, 7})) return;
  if (!call.same_size({0, 6}) || !call.same_size({1, 2})) return;
  const Tensor &query = call.tensor(0), &key = call.tensor(1), &value = call.tensor(2), &out = call.tensor(6);
  const Layout queries(query, axis), keys(key, axis);
  if (!fit(call, queries, keys, start, call.tensor(7))) return;
  const AttentionShape shape = {queries.heads, keys.heads, queries.dim, start, start + queries.tokens, call.number(3)};
  Pool pool;
  void* memory = call.scratch(attention_forward_scratch_bytes(shape, pool.workers()));
  if (!memory) return;
  for (int64_t i = 0; i < queries.batch; ++i) {
    attention_forward({shape, read(query, queries, i), read(key, keys, i), read(value, keys, i),
                       write(out, queries, i), call.written(7) + i * queries.heads * queries.tokens, queries.tokens},
                      pool, memory);
  }
}

namespace {

// values from `first` on: grad, query, key, value, out, logsumexp, scale, heads_axis, start, three gradients.
bool is_backward(Call& call, size_t first) {
  const int64_t axis = call.integer(first + 7);
  if (!are_heads(call, first, first + 4, axis)) return false;
  if (!call.are_floats({first + 5, first + 9, first + 10, first + 11})) return false;
  return call.same_size({first, first + 1, first + 4, first + 9}) &&
         call.same_size({first + 2, first + 3, first + 10, first + 11}) &&
         fit(call, Layout(call.tensor(first + 1), axis), Layout(call.tensor(first + 2), axis), call.integer(first + 8),
             call.tensor(first + 5));
}

// Of values that `is_backward` found right. Rows of the keys' gradients below `written` are added to.
void backward(Call& call, size_t first, int64_t written, Parallel& pool) {
  const int64_t axis = call.integer(first + 7), start = call.integer(first + 8);
  const Tensor &grad = call.tensor(first), &query = call.tensor(first + 1), &key = call.tensor(first + 2);
  const Tensor &value = call.tensor(first + 3), &out = call.tensor(first + 4);
  const Tensor &grad_key = call.tensor(first + 10), &grad_value = call.tensor(first + 11);
  const Layout queries(query, axis), keys(key, axis);
  const AttentionShape shape = {queries.heads, keys.heads,  queries.dim,
                                start,         start + queries.tokens, call.number(first + 6)};
  void* memory = call.scratch(attention_backward_scratch_bytes(shape, pool.workers()));
  if (!memory) return;
  for (int64_t i = 0; i < queries.batch; ++i) {
    attention_backward({shape, read(grad, queries, i), read(query, queries, i), read(key, keys, i),
                        read(value, keys, i), read(out, queries, i),
                        call.floats(first + 5) + i * queries.heads * queries.tokens, queries.tokens,
                        write(call.tensor(first + 9), queries, i), write(grad_key, keys, i),
                        write(grad_value, keys, i), written},
                       pool, memory);
  }
}

// Keys that no query of the tile sees get no gradient from it.
void clear_behind(const Tensor& gradient, const Layout& keys, int64_t end) {
  for (int64_t i = 0; i < keys.batch; ++i) {
    for (int64_t token = end; token < keys.tokens; ++token) {
      for (int64_t head = 0; head < keys.heads; ++head) {
        float* row = gradient.mutable_data_ptr<float>() + keys.of_batch(i) + token * keys.token_stride +
                     head * keys.head_stride;
        std::fill_n(row, keys.dim, 0.0f);
      }
    }
  }
}

}  // namespace

// values: grad, query, key, value, out, logsumexp, scale, heads_axis, start, three gradients, [the gradients]
void causal_attention_backward_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(13) || !is_backward(call, 0)) return;
  const int64_t axis = call.integer(7);
  const int64_t end = call.integer(8) + Layout(call.tensor(1), axis).tokens;
  for (size_t i : {10, 11}) clear_behind(call.tensor(i), Layout(call.tensor(2), axis), end);
  Pool pool;
  backward(call, 0, 0, pool);
}

// values: gradients of key and value so far, then as of the backward
void causal_attention_backward_add_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(15) || !is_backward(call, 2) || !call.are_floats({0, 1})) return;
  const int64_t axis = call.integer(9);
  if (!call.same_size({0, 12}) || !call.same_size({1, 13})) return;
  Pool pool;
  for (size_t i : {0, 1}) start_from(call.tensor(i), call.tensor(i + 12), pool);
  backward(call, 2, Layout(call.tensor(4), axis).tokens, pool);
}

// values: x, cos, sin, inverse, heads_axis, out, out; cos and sin are [tokens, dim] with axes of 1 before
void rotary_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(7)) return;
  const int64_t axis = call.integer(4);
  if (!are_heads(call, 0, 0, axis) || !call.are_floats({1, 2, 5})) return;
  const Tensor &x = call.tensor(0), &out = call.tensor(5);
  const Layout layout(x, axis);
  const int64_t table = layout.tokens * layout.dim;
  if (!call.require(call.tensor(1).numel() == table && call.tensor(2).numel() == table && out.numel() == x.numel())) {
    return;
  }
  Pool pool;
  for (int64_t i = 0; i < layout.batch; ++i) {
    const Rotary arguments = {layout.heads, layout.tokens, layout.dim, read(x, layout, i),
                              {call.floats(1), layout.dim}, {call.floats(2), layout.dim}, write(out, layout, i)};
    if (call.flag(3)) {
      rotary_backward(arguments, pool);
    } else {
      rotary_forward(arguments, pool);
    }
  }
}

}  // namespace lowpeak
