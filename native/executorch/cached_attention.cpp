// lowpeak::cached_attention.
#include "kernels/attention/cached_attention.h"

#include <cstring>

#include "executorch/call.h"
#include "executorch/heads.h"
#include "executorch/kernels.h"

namespace lowpeak {
namespace {

void append(const Call& call, size_t rows, size_t cache, int64_t start) {
  const int64_t heads = call['k'], tokens = call['t'], dim = call['d'];
  const auto from = HeadsLayout(heads, tokens, dim, call[kHeadsAxisLetter]).of(call.floats(rows), 0);
  const auto to = HeadsLayout(heads, call['l'], dim, 1).of(call.written(cache), 0);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t token = 0; token < tokens; ++token) {
      std::memcpy(to.row(head, start + token), from.row(head, token), static_cast<size_t>(dim) * sizeof(float));
    }
  }
}

constexpr Argument kArguments[] = {
    floats("query", "1(ht)d"),
    floats("key", "1(kt)d"),
    floats("value", "1(kt)d"),
    changed(floats("key_cache", "1kld")),
    changed(floats("value_cache", "1kld")),
    ids("positions", "1t"),
    number("scale"),
    heads_axis(),
    out(floats("out", "1(ht)d")),
};

// Whether the positions are places of the cache, one after the other, and each head has a key head.
bool fits(const Call& call) {
  const int64_t* positions = call.ids(5);
  if (positions[0] < 0 || positions[0] > call['l'] - call['t'] || call['h'] % call['k'] != 0) return false;
  for (int64_t i = 1; i < call['t']; ++i) {
    if (positions[i] != positions[0] + i) return false;
  }
  return true;
}

void run(Call& call) {
  const int64_t heads = call['h'], tokens = call['t'], dim = call['d'];
  const int64_t longest = call['l'], start = call.ids(5)[0];
  const AttentionShape shape = {heads, call['k'], dim, start, start + tokens, call.number(6)};
  Pool pool;
  // Room for the longest cache: it is asked for once.
  AttentionShape most = shape;
  most.begin = longest - tokens;
  most.end = longest;
  void* memory = call.scratch(cached_attention_scratch_bytes(most, pool.workers()));
  if (!memory) return;
  append(call, 1, 3, start);
  append(call, 2, 4, start);
  const HeadsLayout queries(heads, tokens, dim, call[kHeadsAxisLetter]), cache(call['k'], longest, dim, 1);
  cached_attention({shape, queries.of(call.floats(0), 0), cache.of(call.floats(3), 0), cache.of(call.floats(4), 0),
                    queries.of(call.written(8), 0)},
                   pool, memory);
}

}  // namespace

constexpr Operator kCachedAttentionOperator("lowpeak::cached_attention.out", kArguments, fits, run);

}  // namespace lowpeak
