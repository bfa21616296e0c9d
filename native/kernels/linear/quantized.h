// A group-wise quantized weight matrix as it lies in memory; lowpeak_artifact/quantized.py defines the format.
#pragma once

#include <cstdint>

namespace lowpeak {

// weight[r, c] = (value[r, c] - zero_point[r, c / group_size]) * scale[r, c / group_size]
struct QuantizedMatrix {
  // 4 bits: [rows, cols / 2] bytes, the even column in the high nibble, value = nibble - 8.
  // 8 bits: [rows, cols] signed bytes.
  const uint8_t* data;
  const void* scale;        // [rows, groups], half precision if scale_is_half, else float
  const float* zero_point;  // [rows, groups]; null when there are none
  int64_t rows;
  int64_t cols;        // a multiple of group_size
  int64_t group_size;  // even
  int bits;            // 4 or 8
  bool scale_is_half;

  int64_t groups() const { return cols / group_size; }
  int64_t row_bytes() const { return cols * bits / 8; }
};

// Rows first .. first + count, on the same memory.
static inline QuantizedMatrix slice_rows(const QuantizedMatrix& matrix, int64_t first, int64_t count) {
  QuantizedMatrix part = matrix;
  const int64_t skipped = first * matrix.groups();
  part.data += first * matrix.row_bytes();
  part.scale = static_cast<const uint8_t*>(matrix.scale) + skipped * (matrix.scale_is_half ? 2 : 4);
  if (matrix.zero_point) part.zero_point += skipped;
  part.rows = count;
  return part;
}

}  // namespace lowpeak
