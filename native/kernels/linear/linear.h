// Matrix products with quantized weights, and the dense ones that LoRA needs beside them.
//
// All of them work block by block: a piece of the weights is decoded to a panel that stays in the L2 cache,
// and is used for a whole block of rows before the next piece. No sum is split over threads, so results are
// the same bits for every number of threads (not for every instruction set).
//
// `scratch` is matmul_scratch_bytes(parallel.workers()) bytes of any alignment.
#pragma once

#include <cstdint>

#include "kernels/linear/quantized.h"
#include "kernels/linear/used.h"
#include "kernels/parallel.h"
#include "kernels/simd/cpu.h"

namespace lowpeak {

// A row-major matrix, perhaps a part of a larger one: `stride` elements lie between the starts of rows.
struct ConstMatrix {
  const float* data;
  int64_t rows;
  int64_t cols;
  int64_t stride;
};

struct Matrix {
  float* data;
  int64_t rows;
  int64_t cols;
  int64_t stride;
};

enum class Write { replace, accumulate };

// Bytes of scratch that every product below takes, whatever its shape.
int64_t matmul_scratch_bytes(int workers);

// y[tokens, outputs] (+)= x[tokens, inputs] @ weight[outputs, inputs]^T + bias; bias [outputs] or null.
void linear_forward(ConstMatrix x, const QuantizedMatrix& weight, const float* bias, Matrix y, Write write,
                    Parallel& parallel, void* scratch, Isa isa = best_isa());

// dx[tokens, inputs] (+)= dy[tokens, outputs] @ weight[outputs, inputs].
void linear_input_gradient(ConstMatrix dy, const QuantizedMatrix& weight, Matrix dx, Write write, Parallel& parallel,
                           void* scratch, Isa isa = best_isa());

enum class Op { plain, transposed };

// c (+)= alpha * op(a) @ op(b), dense. Made for LoRA too: 16 columns of c, 16 rows of it or a sum over 16 are
// no slower than they have to be.
void matmul(ConstMatrix a, Op op_a, ConstMatrix b, Op op_b, float alpha, Matrix c, Write write, Parallel& parallel,
            void* scratch, Isa isa = best_isa());

// out[i] = weight[ids[i]] as float; out has ids_count rows of weight.cols.
void gather_rows(const QuantizedMatrix& weight, const int64_t* ids, int64_t ids_count, float* out, int64_t out_stride,
                 Parallel& parallel, Isa isa = best_isa(), const Used& used = {});

}  // namespace lowpeak
