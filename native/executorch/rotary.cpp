// lowpeak::rotary.
#include "kernels/elementwise/rotary.h"

#include "executorch/call.h"
#include "executorch/heads.h"
#include "executorch/kernels.h"

namespace lowpeak {

namespace {

constexpr Argument kArguments[] = {
    floats("x", "b(ht)d"), floats("cos", "1td"), floats("sin", "1td"),
    flag("inverse", 'i'),  heads_axis(),         out(floats("out", "b(ht)d"), {0}),
};

bool has_halves(const Call& call) { return call['d'] % 2 == 0; }

void run(Call& call) {
  const int64_t heads = call['h'], tokens = call['t'], dim = call['d'];
  const HeadsLayout layout(heads, tokens, dim, call[kHeadsAxisLetter]);
  Pool pool;
  for (int64_t i = 0; i < call['b']; ++i) {
    const Rotary rotary = {heads,
                           tokens,
                           dim,
                           layout.of(call.floats(0), i),
                           {call.floats(1), dim},
                           {call.floats(2), dim},
                           layout.of(call.written(5), i)};
    if (call['i'] != 0) {
      rotary_backward(rotary, pool);
    } else {
      rotary_forward(rotary, pool);
    }
  }
}

}  // namespace

constexpr Operator kRotaryOperator("lowpeak::rotary.out", kArguments, has_halves, run);

}  // namespace lowpeak
