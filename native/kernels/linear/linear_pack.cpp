#include "kernels/linear/linear_pack.h"

#include <algorithm>
#include <cstring>

#include "kernels/linear/linear_kernels.h"

namespace lowpeak {
namespace {

// Rows of the source that are read side by side: their lines fit into L1 even if all fall into one set.
constexpr int64_t kRowsAtOnce = 8;

// Tiles of Width neighbours, from a source whose neighbours lie side by side.
template <int Width>
void pack_contiguous(const float* source, int64_t depth_stride, int64_t count, int64_t depth, float* packed) {
  for (int64_t k0 = 0; k0 < depth; k0 += kRowsAtOnce) {
    const int64_t k_end = std::min(depth, k0 + kRowsAtOnce);
    for (int64_t first = 0; first < count; first += Width) {
      float* out = packed + first * depth + k0 * Width;
      const float* in = source + first + k0 * depth_stride;
      if (first + Width <= count) {
        for (int64_t k = k0; k < k_end; ++k, out += Width, in += depth_stride) {
          std::memcpy(out, in, Width * sizeof(float));
        }
      } else {
        for (int64_t k = k0; k < k_end; ++k, out += Width, in += depth_stride) {
          for (int64_t j = 0; j < Width; ++j) out[j] = first + j < count ? in[j] : 0.0f;
        }
      }
    }
  }
}

// The same from a source whose neighbours are `stride` apart, and where a neighbour's depth lies side by
// side.
template <int Width>
void pack_transposed(const float* source, int64_t stride, int64_t count, int64_t depth, float* packed) {
  for (int64_t first = 0; first < count; first += Width, packed += Width * depth) {
    const float* in[Width];
    for (int j = 0; j < Width; ++j) in[j] = source + std::min(first + j, count - 1) * stride;
    float* out = packed;
    for (int64_t k = 0; k < depth; ++k, out += Width) {
      for (int j = 0; j < Width; ++j) out[j] = in[j][k];
    }
    for (int j = static_cast<int>(std::min<int64_t>(Width, count - first)); j < Width; ++j) {
      for (int64_t k = 0; k < depth; ++k) packed[k * Width + j] = 0.0f;
    }
  }
}

template <int Width>
void pack(const float* source, int64_t stride, int64_t depth_stride, int64_t count, int64_t depth, float* packed) {
  if (stride == 1) {
    pack_contiguous<Width>(source, depth_stride, count, depth, packed);
  } else {
    pack_transposed<Width>(source, stride, count, depth, packed);
  }
}

}  // namespace

template <int TileRows>
void pack_left(const float* a, int64_t row_stride, int64_t depth_stride, int64_t rows, int64_t depth, float* packed) {
  pack<TileRows>(a, row_stride, depth_stride, rows, depth, packed);
}

template void pack_left<6>(const float*, int64_t, int64_t, int64_t, int64_t, float*);
template void pack_left<12>(const float*, int64_t, int64_t, int64_t, int64_t, float*);

void pack_right(const float* b, int64_t depth_stride, int64_t col_stride, int64_t depth, int64_t cols, float* panel) {
  pack<kNr>(b, col_stride, depth_stride, cols, depth, panel);
}

}  // namespace lowpeak
