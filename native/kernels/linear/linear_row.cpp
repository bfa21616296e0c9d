#include "kernels/linear/linear_row.h"

#include <algorithm>

namespace lowpeak {
namespace {

// Weights that one thread is done with before another has begun.
constexpr int64_t kWeightsAlone = 1 << 16;

constexpr int64_t kCacheLine = 64;

// Calls task(begin, end) for ranges of the rows, on as many threads as are worth it.
template <class Task>
void over_rows(int64_t rows, int64_t cols, Parallel& parallel, const Task& task) {
  if (rows * cols <= kWeightsAlone) {
    task(0, rows);
  } else {
    parallel.run(rows, [&](int64_t begin, int64_t end, int) { task(begin, end); });
  }
}

}  // namespace

const RowKernels& row_kernels(Isa isa) {
  switch (isa) {
#if defined(LOWPEAK_HAVE_X86)
    case Isa::avx2: return kAvx2RowKernels;
    case Isa::avx512: return has_vnni() ? kAvx512RowKernels : kAvx2RowKernels;
#endif
#if defined(LOWPEAK_HAVE_NEON)
    case Isa::neon: return kNeonRowKernels;
#endif
    default: return kGenericRowKernels;
  }
}

bool is_row_product(ConstMatrix x, const QuantizedMatrix& weight, const RowKernels& kernels) {
  const int64_t group = weight.group_size;
  return x.rows == 1 && (group == 32 || group == 64 || group == 128) &&
         kernels.prepared_floats(weight.cols, weight.bits) * static_cast<int64_t>(sizeof(float)) <=
             matmul_scratch_bytes(1) - kCacheLine;
}

void multiply_row(ConstMatrix x, const QuantizedMatrix& weight, const float* bias, Matrix y, Write write,
                  const RowKernels& kernels, Parallel& parallel, void* scratch) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(scratch);
  float* prepared = reinterpret_cast<float*>((start + kCacheLine - 1) / kCacheLine * kCacheLine);
  kernels.prepare(x.data, weight, prepared);
  over_rows(weight.rows, weight.cols, parallel, [&](int64_t begin, int64_t end) {
    kernels.multiply(prepared, weight, bias, begin, end, write == Write::accumulate, y.data);
  });
}

void multiply_row_dense(const float* a, ConstMatrix b, float alpha, float* c, Write write, const RowKernels& kernels,
                        Parallel& parallel) {
  over_rows(b.rows, b.cols, parallel, [&](int64_t begin, int64_t end) {
    kernels.multiply_dense(a, b, alpha, begin, end, write == Write::accumulate, c);
  });
}

}  // namespace lowpeak
