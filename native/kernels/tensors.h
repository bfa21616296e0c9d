// Views of float tensors whose last dimension is contiguous; strides count floats.
#pragma once

#include <cstdint>

namespace lowpeak {

// [rows, width]
template <class Float>
struct Rows {
  Float* data;
  int64_t stride;

  Float* row(int64_t index) const { return data + index * stride; }
};

// [heads, tokens, dim], which may lie in memory as [tokens, heads, dim].
template <class Float>
struct Heads {
  Float* data;
  int64_t token_stride;
  int64_t head_stride;

  Float* row(int64_t head, int64_t token) const { return data + head * head_stride + token * token_stride; }
};

}  // namespace lowpeak
