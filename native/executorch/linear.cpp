// lowpeak::matmul, matmul_add, quantized_linear, quantized_linear_input_gradient(_add), dequantize_rows and
// quantized_linear_cross_entropy.
#include "linear.h"

#include <cstring>

#include "call.h"
#include "cross_entropy.h"
#include "kernels.h"
#include "pages.h"

namespace lowpeak {

void start_from(const Tensor& addend, const Tensor& out, Parallel& parallel) {
  const char* from = static_cast<const char*>(addend.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  if (from == to) return;
  parallel.run(static_cast<int64_t>(out.nbytes()), [&](int64_t begin, int64_t end, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

namespace {

// The last two axes of a tensor are matrices, the axes before count them.
struct Stack {
  int64_t count, rows, cols;
};

Stack stack_of(const Tensor& tensor) {
  const int64_t rows = tensor.size(tensor.dim() - 2), cols = cols_of(tensor);
  return {rows * cols > 0 ? tensor.numel() / (rows * cols) : 0, rows, cols};
}

// values: [addend,] a, b, transpose_a, transpose_b, alpha, out, out
void multiply(Call& call, size_t first, Write write) {
  if (!call.are_floats({0, first, first + 1, first + 5})) return;
  const Tensor &a = call.tensor(first), &b = call.tensor(first + 1), &out = call.tensor(first + 5);
  const Op op_a = call.flag(first + 2) ? Op::transposed : Op::plain;
  const Op op_b = call.flag(first + 3) ? Op::transposed : Op::plain;
  if (!call.require(a.dim() >= 2 && b.dim() == a.dim() && out.dim() == a.dim())) return;
  const Stack in_a = stack_of(a), in_b = stack_of(b), result = stack_of(out);
  const bool swap_a = op_a == Op::transposed, swap_b = op_b == Op::transposed;
  if (!call.require((swap_a ? in_a.cols : in_a.rows) == result.rows &&
                    (swap_b ? in_b.rows : in_b.cols) == result.cols &&
                    (swap_a ? in_a.rows : in_a.cols) == (swap_b ? in_b.cols : in_b.rows) &&
                    in_a.count == result.count && in_b.count == result.count)) {
    return;
  }
  if (write == Write::accumulate && !call.same_size({0, first + 5})) return;
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  if (write == Write::accumulate) start_from(call.tensor(0), out, pool);
  const float *from_a = a.const_data_ptr<float>(), *from_b = b.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < result.count; ++i) {
    matmul({from_a + i * in_a.rows * in_a.cols, in_a.rows, in_a.cols, in_a.cols}, op_a,
           {from_b + i * in_b.rows * in_b.cols, in_b.rows, in_b.cols, in_b.cols}, op_b, call.number(first + 4),
           {to + i * result.rows * result.cols, result.rows, result.cols, result.cols}, write, pool, memory);
  }
}

// values: [addend,] grad, data, scale, zero_point, bits, out, out
void input_gradient(Call& call, size_t first, Write write) {
  if (!call.has_quantized(first + 1) || !call.are_floats({0, first, first + 5})) return;
  const QuantizedMatrix weight = call.quantized(first + 1);
  const Tensor &grad = call.tensor(first), &out = call.tensor(first + 5);
  if (!call.require(cols_of(grad) == weight.rows && cols_of(out) == weight.cols && rows_of(grad) == rows_of(out))) {
    return;
  }
  if (write == Write::accumulate && !call.same_size({0, first + 5})) return;
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  if (write == Write::accumulate) start_from(call.tensor(0), out, pool);
  linear_input_gradient(matrix_of(grad), weight, written_matrix(out), write, pool, memory);
}

}  // namespace

void matmul_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (call.takes(7)) multiply(call, 0, Write::replace);
}

void matmul_add_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (call.takes(8)) multiply(call, 1, Write::accumulate);
}

// values: x, data, scale, zero_point, bits, bias, out, out
void quantized_linear_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(8) || !call.has_quantized(1) || !call.are_floats({0, 5, 6})) return;
  const QuantizedMatrix weight = call.quantized(1);
  const Tensor &x = call.tensor(0), &out = call.tensor(6);
  if (!call.require(cols_of(x) == weight.cols && cols_of(out) == weight.rows && rows_of(x) == rows_of(out))) return;
  if (!call.require(!call.given(5) || call.tensor(5).numel() == weight.rows)) return;
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  linear_forward(matrix_of(x), weight, call.floats_if_given(5), written_matrix(out), Write::replace, pool, memory);
}

void quantized_linear_input_gradient_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (call.takes(7)) input_gradient(call, 0, Write::replace);
}

void quantized_linear_input_gradient_add_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (call.takes(8)) input_gradient(call, 1, Write::accumulate);
}

// values: data, scale, zero_point, bits, ids, out, out
void dequantize_rows_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(7) || !call.has_quantized(0) || !call.are_floats({5})) return;
  const QuantizedMatrix weight = call.quantized(0);
  const Tensor &ids = call.tensor(4), &out = call.tensor(5);
  if (!call.require(cols_of(out) == weight.cols && rows_of(out) == ids.numel())) return;
  const int64_t* chosen = call.row_ids(4, weight.rows);
  if (!chosen) return;
  Pool pool;
  gather_rows(weight, chosen, ids.numel(), out.mutable_data_ptr<float>(), weight.cols, pool, best_isa(),
              read_on);
}

// values: hidden, data, scale, zero_point, bits, bias, labels, ignore_index, loss, gradient, [loss, gradient]
void quantized_linear_cross_entropy_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(11) || !call.has_quantized(1) || !call.are_floats({0, 5, 8, 9})) return;
  if (!call.are(ScalarType::Long, {6})) return;
  const QuantizedMatrix head = call.quantized(1);
  const Tensor &hidden = call.tensor(0), &labels = call.tensor(6), &gradient = call.tensor(9);
  if (!call.require(cols_of(hidden) == head.cols && rows_of(hidden) == labels.numel() &&
                    gradient.numel() == hidden.numel() && (!call.given(5) || call.tensor(5).numel() == head.rows))) {
    return;
  }
  const int64_t ignored = call.integer(7);
  const int64_t* chosen = labels.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.numel(); ++i) {
    if (!call.require(chosen[i] == ignored || (chosen[i] >= 0 && chosen[i] < head.rows))) return;
  }
  Pool pool;
  void* memory = call.scratch(linear_cross_entropy_scratch_bytes(pool.workers()));
  if (!memory) return;
  linear_cross_entropy(matrix_of(hidden), head, call.floats_if_given(5), chosen, ignored, call.written(8),
                       written_matrix(gradient), pool, memory, best_isa(), read_on);
}

}  // namespace lowpeak
