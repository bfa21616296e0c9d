// lowpeak::rms_norm, swiglu and their backwards.
#include "executorch/call.h"
#include "executorch/kernels.h"
#include "kernels/elementwise/rms_norm.h"
#include "kernels/elementwise/swiglu.h"

namespace lowpeak {

namespace {

Rows<const float> read(const Call& call, size_t index) { return {call.floats(index), call['c']}; }
Rows<float> write(const Call& call, size_t index) { return {call.written(index), call['c']}; }

constexpr Argument kRmsNormArguments[] = {
    floats("x", "*c"),         floats("weight", "c"), number("epsilon"), out(floats("out", "*c"), {0}),
    out(floats("root", "*1")),
};

bool is_not_negative(const Call& call) { return call.number(2) >= 0; }

void rms_norm(Call& call) {
  Pool pool;
  rms_norm_forward({rows_of(call.tensor(0)), call['c'], call.number(2), read(call, 0), call.floats(1), write(call, 3),
                    call.written(4)},
                   pool);
}

constexpr Argument kRmsNormBackwardArguments[] = {
    floats("grad", "*c"),
    floats("x", "*c"),
    floats("weight", "c"),
    floats("root", "*1"),
    or_none(floats("residual", "*c")),
    out(floats("out", "*c"), {0, 1, 4}),
};

void rms_norm_back(Call& call) {
  Pool pool;
  rms_norm_backward({rows_of(call.tensor(0)),
                     call['c'],
                     read(call, 0),
                     read(call, 1),
                     call.floats(2),
                     call.floats(3),
                     {call.floats_if_given(4), call['c']},
                     write(call, 5)},
                    pool);
}

constexpr Argument kSwigluArguments[] = {
    floats("gate", "*c"),
    floats("up", "*c"),
    out(floats("out", "*c"), {0, 1}),
};

void swiglu(Call& call) {
  Pool pool;
  swiglu_forward({rows_of(call.tensor(0)), call['c'], read(call, 0), read(call, 1), write(call, 2)}, pool);
}

constexpr Argument kSwigluBackwardArguments[] = {
    floats("grad", "*c"),
    floats("gate", "*c"),
    floats("up", "*c"),
    out(floats("grad_gate", "*c"), {0, 1, 2}),
    out(floats("grad_up", "*c"), {0, 1, 2}),
};

void swiglu_back(Call& call) {
  Pool pool;
  swiglu_backward(
      {rows_of(call.tensor(0)), call['c'], read(call, 0), read(call, 1), read(call, 2), write(call, 3), write(call, 4)},
      pool);
}

}  // namespace

constexpr Operator kRmsNormOperator("lowpeak::rms_norm.out", kRmsNormArguments, is_not_negative, rms_norm);
constexpr Operator kRmsNormBackwardOperator("lowpeak::rms_norm_backward.out", kRmsNormBackwardArguments, nullptr,
                                            rms_norm_back);
constexpr Operator kSwigluOperator("lowpeak::swiglu.out", kSwigluArguments, nullptr, swiglu);
constexpr Operator kSwigluBackwardOperator("lowpeak::swiglu_backward.out", kSwigluBackwardArguments, nullptr,
                                           swiglu_back);

}  // namespace lowpeak
