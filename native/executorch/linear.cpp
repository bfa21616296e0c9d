// lowpeak::matmul, matmul_add, quantized_linear, quantized_linear_input_gradient(_add), dequantize_rows and
// quantized_linear_cross_entropy.
#include "kernels/linear/linear.h"

#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/session.h"
#include "kernels/loss/cross_entropy.h"

namespace lowpeak {

namespace {

// The last two axes of a tensor are matrices, the axes before count them. a is [i, j], b [k, l], the product [m, n].
constexpr Argument kMatmulArguments[] = {
    floats("a", "*ij"),       floats("b", "*kl"), flag("transpose_a", 'u'),
    flag("transpose_b", 'v'), number("alpha"),    out(floats("out", "*mn")),
};
constexpr Argument kMatmulAddArguments[] = {
    floats("addend", "*mn"),        floats("a", "*ij"),       floats("b", "*kl"),
    flag("transpose_a", 'u'),       flag("transpose_b", 'v'), number("alpha"),
    out(floats("out", "*mn"), {0}),
};

bool is_product(const Call& call) {
  const bool swap_a = call['u'] != 0, swap_b = call['v'] != 0;
  return call['m'] == call[swap_a ? 'j' : 'i'] && call['n'] == call[swap_b ? 'k' : 'l'] &&
         call[swap_a ? 'i' : 'j'] == call[swap_b ? 'l' : 'k'];
}

// Arguments from `first` on: a, b, transpose_a, transpose_b, alpha, out.
void multiply(Call& call, size_t first, Write write) {
  const Op op_a = call['u'] != 0 ? Op::transposed : Op::plain, op_b = call['v'] != 0 ? Op::transposed : Op::plain;
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  const Tensor& out = call.tensor(first + 5);
  if (write == Write::accumulate) start_from(call.tensor(0), out, pool);
  const int64_t a_size = call['i'] * call['j'], b_size = call['k'] * call['l'], size = call['m'] * call['n'];
  for (int64_t i = 0; i < out.numel() / size; ++i) {
    matmul({call.floats(first) + i * a_size, call['i'], call['j'], call['j']}, op_a,
           {call.floats(first + 1) + i * b_size, call['k'], call['l'], call['l']}, op_b, call.number(first + 4),
           {call.written(first + 5) + i * size, call['m'], call['n'], call['n']}, write, pool, memory);
  }
}

void matmul_alone(Call& call) { multiply(call, 0, Write::replace); }
void matmul_add(Call& call) { multiply(call, 1, Write::accumulate); }

constexpr Argument kLinearArguments[] = {
    floats("x", "*c"), data(), scale(), zero_point(), bits(), or_none(floats("bias", "r")), out(floats("out", "*r")),
};

void quantized_linear(Call& call) {
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  linear_forward(matrix_of(call.tensor(0)), quantized(call, 1), call.floats_if_given(5), written_matrix(call.tensor(6)),
                 Write::replace, pool, memory);
}

constexpr Argument kInputGradientArguments[] = {
    floats("grad", "*r"), data(), scale(), zero_point(), bits(), out(floats("out", "*c")),
};
constexpr Argument kInputGradientAddArguments[] = {
    floats("addend", "*c"), floats("grad", "*r"), data(), scale(), zero_point(), bits(), out(floats("out", "*c"), {0}),
};

// Arguments from `first` on: grad, the matrix, out.
void input_gradient(Call& call, size_t first, Write write) {
  Pool pool;
  void* memory = call.scratch(matmul_scratch_bytes(pool.workers()));
  if (!memory) return;
  const Tensor& out = call.tensor(first + 5);
  if (write == Write::accumulate) start_from(call.tensor(0), out, pool);
  linear_input_gradient(matrix_of(call.tensor(first)), quantized(call, first + 1), written_matrix(out), write, pool,
                        memory);
}

void input_gradient_alone(Call& call) { input_gradient(call, 0, Write::replace); }
void input_gradient_add(Call& call) { input_gradient(call, 1, Write::accumulate); }

constexpr Argument kRowsArguments[] = {
    data(), scale(), zero_point(), bits(), ids("ids", "*"), out(floats("out", "*c")),
};

bool are_rows_of_matrix(const Call& call) {
  return is_matrix(call) && are_rows(call.ids(4), call.tensor(4).numel(), call['r']);
}

// What is told of the rows of a matrix that a kernel has used.
Used read_on() {
  return [&pages = Session::current().pages()](const QuantizedMatrix& rows) { pages.read_on(rows); };
}

void dequantize_rows(Call& call) {
  Pool pool;
  gather_rows(quantized(call, 0), call.ids(4), call.tensor(4).numel(), call.written(5), call['c'], pool, best_isa(),
              read_on());
}

constexpr Argument kLossArguments[] = {
    floats("hidden", "tc"),
    data(),
    scale(),
    zero_point(),
    bits(),
    or_none(floats("bias", "r")),
    ids("labels", "t"),
    integer("ignore_index", 'i'),
    out(floats("loss", "")),
    out(floats("gradient", "tc")),
};

bool are_labels_of_matrix(const Call& call) {
  const int64_t* labels = call.ids(6);
  for (int64_t i = 0; i < call['t']; ++i) {
    if (labels[i] != call['i'] && !are_rows(labels + i, 1, call['r'])) return false;
  }
  return is_matrix(call);
}

void cross_entropy(Call& call) {
  Pool pool;
  void* memory = call.scratch(linear_cross_entropy_scratch_bytes(pool.workers()));
  if (!memory) return;
  linear_cross_entropy(matrix_of(call.tensor(0)), quantized(call, 1), call.floats_if_given(5), call.ids(6), call['i'],
                       call.written(8), written_matrix(call.tensor(9)), pool, memory, best_isa(), read_on());
}

}  // namespace

constexpr Operator kMatmulOperator("lowpeak::matmul.out", kMatmulArguments, is_product, matmul_alone);
constexpr Operator kMatmulAddOperator("lowpeak::matmul_add.out", kMatmulAddArguments, is_product, matmul_add);
constexpr Operator kQuantizedLinearOperator("lowpeak::quantized_linear.out", kLinearArguments, is_matrix,
                                            quantized_linear);
constexpr Operator kQuantizedLinearInputGradientOperator("lowpeak::quantized_linear_input_gradient.out",
                                                         kInputGradientArguments, is_matrix, input_gradient_alone);
constexpr Operator kQuantizedLinearInputGradientAddOperator("lowpeak::quantized_linear_input_gradient_add.out",
                                                            kInputGradientAddArguments, is_matrix, input_gradient_add);
constexpr Operator kDequantizeRowsOperator("lowpeak::dequantize_rows.out", kRowsArguments, are_rows_of_matrix,
                                           dequantize_rows);
constexpr Operator kQuantizedLinearCrossEntropyOperator("lowpeak::quantized_linear_cross_entropy.out", kLossArguments,
                                                        are_labels_of_matrix, cross_entropy);

}  // namespace lowpeak
