// Copies dense factors into the order in which the register tile reads them.
#pragma once

#include <cstdint>

namespace lowpeak {

// Tiles of TileRows rows, each [depth, TileRows]; rows beyond the last are zero. One of the strides is 1. There are
// instances for the register tiles of LinearKernels.
template <int TileRows>
void pack_left(const float* a, int64_t row_stride, int64_t depth_stride, int64_t rows, int64_t depth, float* packed);

// The panel (see LinearKernels) of b, whose element (k, j) is at b[k * depth_stride + j * col_stride].
void pack_right(const float* b, int64_t depth_stride, int64_t col_stride, int64_t depth, int64_t cols, float* panel);

}  // namespace lowpeak
