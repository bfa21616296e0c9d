// The loops around the register tile: blocks for the caches and for threads, the same for every product.
#pragma once

#include <cstdint>

#include "kernels/linear/linear.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/parallel.h"

namespace lowpeak {

// The right-hand factor [depth, cols], wherever it comes from.
class PanelSource {
 public:
  virtual ~PanelSource() = default;

  // Writes the panel (see LinearKernels) of the given piece. `col` is a multiple of kNr, `first` is
  // even.
  virtual void pack(int64_t first, int64_t depth, int64_t col, int64_t cols, float* panel) const = 0;
};

// c[rows, cols] (+)= alpha * a[rows, depth] @ b[depth, cols] + bias
struct BlockedProduct {
  int64_t rows;
  int64_t depth;
  int64_t cols;
  const float* a;  // element (i, k) at a[i * a_row_stride + k * a_depth_stride]; one of the strides is 1
  int64_t a_row_stride;
  int64_t a_depth_stride;
  const PanelSource* b;
  float alpha;
  const float* bias;  // [cols] or null
  float* c;
  int64_t c_stride;
  Write write;
};

void multiply_blocked(const BlockedProduct& product, const LinearKernels& kernels, Parallel& parallel, void* scratch);

}  // namespace lowpeak
