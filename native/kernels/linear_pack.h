// Copies dense factors into the order in which the register tile reads them.
#pragma once

#include <cstdint>

namespace lowpeak {

// Tiles of register_rows (6 or 12) rows, each [depth, register_rows]; rows beyond the last are zero. One of the
// strides is 1.
void pack_left(const float* a, int64_t row_stride, int64_t depth_stride, int64_t rows, int64_t depth,
               int register_rows, float* packed);

// The panel (see LinearKernels) of b, whose element (k, j) is at b[k * depth_stride + j * col_stride].
void pack_right(const float* b, int64_t depth_stride, int64_t col_stride, int64_t depth, int64_t cols,
                float* panel);

}  // namespace lowpeak
