// lowpeak::rms_norm, swiglu and their backwards.
#include "call.h"
#include "kernels.h"
#include "rms_norm.h"
#include "swiglu.h"

namespace lowpeak {

namespace {

Rows<const float> read(const Tensor& tensor) { return {tensor.const_data_ptr<float>(), cols_of(tensor)}; }
Rows<float> write(const Tensor& tensor) { return {tensor.mutable_data_ptr<float>(), cols_of(tensor)}; }

}  // namespace

// values: x, weight, epsilon, out, root, [out, root]
void rms_norm_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(6) || !call.are_floats({0, 1, 3, 4}) || !call.same_size({0, 3})) return;
  const Tensor &x = call.tensor(0), &out = call.tensor(3);
  if (!call.require(call.tensor(1).numel() == cols_of(x) && call.tensor(4).numel() == rows_of(x))) return;
  Pool pool;
  rms_norm_forward({rows_of(x), cols_of(x), call.number(2), read(x), call.floats(1), write(out), call.written(4)}, pool);
}

// values: grad, x, weight, root, residual or None, out, out
void rms_norm_backward_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(7) || !call.are_floats({0, 1, 2, 3, 4, 5}) || !call.same_size({0, 1, 5})) return;
  if (call.given(4) && !call.same_size({0, 4})) return;
  const Tensor &grad = call.tensor(0), &x = call.tensor(1);
  if (!call.require(call.tensor(2).numel() == cols_of(x) && call.tensor(3).numel() == rows_of(x))) return;
  Pool pool;
  rms_norm_backward({rows_of(x), cols_of(x), read(grad), read(x), call.floats(2), call.floats(3),
                     {call.floats_if_given(4), cols_of(x)}, write(call.tensor(5))},
                    pool);
}

// values: gate, up, out, out
void swiglu_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(4) || !call.are_floats({0, 1, 2}) || !call.same_size({0, 1, 2})) return;
  const Tensor& gate = call.tensor(0);
  Pool pool;
  swiglu_forward({rows_of(gate), cols_of(gate), read(gate), read(call.tensor(1)), write(call.tensor(2))}, pool);
}

// values: grad, gate, up, grad_gate, grad_up, [grad_gate, grad_up]
void swiglu_backward_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(6) || !call.are_floats({0, 1, 2, 3, 4}) || !call.same_size({0, 1, 2, 3, 4})) return;
  const Tensor& gate = call.tensor(1);
  Pool pool;
  swiglu_backward({rows_of(gate), cols_of(gate), read(call.tensor(0)), read(gate), read(call.tensor(2)),
                   write(call.tensor(3)), write(call.tensor(4))},
                  pool);
}

}  // namespace lowpeak
