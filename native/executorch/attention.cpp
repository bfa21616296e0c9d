// lowpeak::causal_attention and its backward.
#include "kernels/attention/attention.h"

#include <algorithm>

#include "executorch/call.h"
#include "executorch/heads.h"
#include "executorch/kernels.h"

namespace lowpeak {

namespace {

HeadsLayout layout_of_queries(const Call& call) { return {call['h'], call['t'], call['d'], call[kHeadsAxisLetter]}; }
HeadsLayout layout_of_keys(const Call& call) { return {call['k'], call['s'], call['d'], call[kHeadsAxisLetter]}; }

// Of the tile of queries that begins with token o.
AttentionShape shape_of(const Call& call, size_t scale) {
  return {call['h'], call['k'], call['d'], call['o'], call['o'] + call['t'], call.number(scale)};
}

// Whether there is a key for each query, of a key head for each head.
bool attends(const Call& call) {
  return call['o'] >= 0 && call['o'] <= call['s'] - call['t'] && call['h'] % call['k'] == 0;
}

constexpr Argument kForwardArguments[] = {
    floats("query", "b(ht)d"),
    floats("key", "b(ks)d"),
    floats("value", "b(ks)d"),
    number("scale"),
    heads_axis(),
    integer("start", 'o'),
    out(floats("out", "b(ht)d")),
    out(floats("logsumexp", "bht")),
};

void forward(Call& call) {
  const HeadsLayout queries = layout_of_queries(call), keys = layout_of_keys(call);
  const AttentionShape shape = shape_of(call, 3);
  Pool pool;
  void* memory = call.scratch(attention_forward_scratch_bytes(shape, pool.workers()));
  if (!memory) return;
  for (int64_t i = 0; i < call['b']; ++i) {
    attention_forward({shape, queries.of(call.floats(0), i), keys.of(call.floats(1), i), keys.of(call.floats(2), i),
                       queries.of(call.written(6), i), call.written(7) + i * call['h'] * call['t'], call['t']},
                      pool, memory);
  }
}

// Arguments from `first` on: grad, query, key, value, out, logsumexp, scale, heads_axis, start, three gradients.
// Rows of the keys' gradients below `written` are added to.
void backward(Call& call, size_t first, int64_t written, Parallel& pool, void* memory) {
  const HeadsLayout queries = layout_of_queries(call), keys = layout_of_keys(call);
  const auto operand = [&](size_t index) { return call.floats(first + index); };
  const auto result = [&](size_t index) { return call.written(first + index); };
  for (int64_t i = 0; i < call['b']; ++i) {
    attention_backward(
        {shape_of(call, first + 6), queries.of(operand(0), i), queries.of(operand(1), i), keys.of(operand(2), i),
         keys.of(operand(3), i), queries.of(operand(4), i), operand(5) + i * call['h'] * call['t'], call['t'],
         queries.of(result(9), i), keys.of(result(10), i), keys.of(result(11), i), written},
        pool, memory);
  }
}

void* backward_scratch(Call& call, size_t scale, const Parallel& pool) {
  return call.scratch(attention_backward_scratch_bytes(shape_of(call, scale), pool.workers()));
}

// Keys that no query of the tile sees get no gradient from it.
void clear_behind(Call& call, size_t gradient) {
  for (int64_t i = 0; i < call['b']; ++i) {
    const Heads<float> rows = layout_of_keys(call).of(call.written(gradient), i);
    for (int64_t token = call['o'] + call['t']; token < call['s']; ++token) {
      for (int64_t head = 0; head < call['k']; ++head) std::fill_n(rows.row(head, token), call['d'], 0.0f);
    }
  }
}

constexpr Argument kBackwardArguments[] = {
    floats("grad", "b(ht)d"),
    floats("query", "b(ht)d"),
    floats("key", "b(ks)d"),
    floats("value", "b(ks)d"),
    floats("out", "b(ht)d"),
    floats("logsumexp", "bht"),
    number("scale"),
    heads_axis(),
    integer("start", 'o'),
    out(floats("grad_query", "b(ht)d")),
    out(floats("grad_key", "b(ks)d")),
    out(floats("grad_value", "b(ks)d")),
};

void backward_alone(Call& call) {
  Pool pool;
  void* memory = backward_scratch(call, 6, pool);
  if (!memory) return;
  for (size_t i : {10, 11}) clear_behind(call, i);
  backward(call, 0, 0, pool, memory);
}

constexpr Argument kBackwardAddArguments[] = {
    floats("key_so_far", "b(ks)d"),
    floats("value_so_far", "b(ks)d"),
    floats("grad", "b(ht)d"),
    floats("query", "b(ht)d"),
    floats("key", "b(ks)d"),
    floats("value", "b(ks)d"),
    floats("out", "b(ht)d"),
    floats("logsumexp", "bht"),
    number("scale"),
    heads_axis(),
    integer("start", 'o'),
    out(floats("grad_query", "b(ht)d")),
    out(floats("grad_key", "b(ks)d"), {0}),
    out(floats("grad_value", "b(ks)d"), {1}),
};

void backward_add(Call& call) {
  Pool pool;
  void* memory = backward_scratch(call, 8, pool);
  if (!memory) return;
  for (size_t i : {0, 1}) start_from(call.tensor(i), call.tensor(i + 12), pool);
  backward(call, 2, call['s'], pool, memory);
}

}  // namespace

constexpr Operator kCausalAttentionOperator("lowpeak::causal_attention.out", kForwardArguments, attends, forward);
constexpr Operator kCausalAttentionBackwardOperator("lowpeak::causal_attention_backward.out", kBackwardArguments,
                                                    attends, backward_alone);
constexpr Operator kCausalAttentionBackwardAddOperator("lowpeak::causal_attention_backward_add.out",
                                                       kBackwardAddArguments, attends, backward_add);

}  // namespace lowpeak
