// Products of one row with a matrix, as generating token by token has them: every weight is used once, so it is
// decoded on its way into the sum and no panel is written.
#pragma once

#include <cstdint>

#include "kernels/linear/linear.h"

namespace lowpeak {

// What each instruction set implements, each in a source file with its own flags.
struct RowKernels {
  // Floats that `prepare` writes for a row of so many columns.
  int64_t (*prepared_floats)(int64_t cols, int bits);

  // x [weight.cols] -> the order that `multiply` reads it in.
  void (*prepare)(const float* x, const QuantizedMatrix& weight, float* prepared);

  // y[row] (+)= x . weight[row] + bias[row] for the rows begin .. end.
  void (*multiply)(const float* prepared, const QuantizedMatrix& weight, const float* bias, int64_t begin, int64_t end,
                   bool accumulate, float* y);

  // c[row] (+)= alpha * a . b[row] for the rows begin .. end of b [rows, depth].
  void (*multiply_dense)(const float* a, ConstMatrix b, float alpha, int64_t begin, int64_t end, bool accumulate,
                         float* c);
};

extern const RowKernels kGenericRowKernels;
extern const RowKernels kAvx2RowKernels;
extern const RowKernels kAvx512RowKernels;  // for has_vnni()
extern const RowKernels kNeonRowKernels;

// Whether one row can be multiplied in this way, with matmul_scratch_bytes of scratch.
bool is_row_product(ConstMatrix x, const QuantizedMatrix& weight, const RowKernels& kernels);

const RowKernels& row_kernels(Isa isa);

// As linear_forward, of one row that is_row_product grants.
void multiply_row(ConstMatrix x, const QuantizedMatrix& weight, const float* bias, Matrix y, Write write,
                  const RowKernels& kernels, Parallel& parallel, void* scratch);

// c[1, rows of b] (+)= alpha * a[1, depth] @ b^T.
void multiply_row_dense(const float* a, ConstMatrix b, float alpha, float* c, Write write, const RowKernels& kernels,
                        Parallel& parallel);

}  // namespace lowpeak
