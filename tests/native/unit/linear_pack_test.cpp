#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "kernels/linear/linear_pack.h"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "kernels/linear/linear_kernels.h"

namespace lowpeak {
namespace {

constexpr float kUntouched = -1;

// Element (i, k) of tiles of `width` neighbours, each [depth, width].
float packed_at(const std::vector<float>& packed, int64_t width, int64_t depth, int64_t i, int64_t k) {
  return packed[i / width * width * depth + k * width + i % width];
}

// Both strides, and numbers of neighbours and of depth around those of a tile and of the rows read side by side.
template <class Pack>
void check(int64_t width, Pack pack) {
  for (const int64_t count : {int64_t{1}, width - 1, width, width + 1, 3 * width + 2}) {
    for (const int64_t depth : {1, 7, 8, 9, 20}) {
      std::vector<float> source(count * depth);
      std::iota(source.begin(), source.end(), 1.0f);
      const int64_t tiles = (count + width - 1) / width;
      for (const bool contiguous : {true, false}) {
        const int64_t stride = contiguous ? 1 : depth, depth_stride = contiguous ? count : 1;
        std::vector<float> packed(tiles * width * depth + 1, kUntouched);
        pack(source.data(), stride, depth_stride, count, depth, packed.data());
        for (int64_t i = 0; i < tiles * width; ++i) {
          for (int64_t k = 0; k < depth; ++k) {
            const float expected = i < count ? source[i * stride + k * depth_stride] : 0.0f;
            if (packed_at(packed, width, depth, i, k) != expected) {
              FAIL(count, " neighbours of depth ", depth, ", stride ", stride, ": (", i, ", ", k, ")");
            }
          }
        }
        CHECK(packed.back() == kUntouched);
      }
    }
  }
}

}  // namespace

TEST_CASE("left tiles of 6 and 12 rows") {
  check(6, pack_left<6>);
  check(12, pack_left<12>);
}

TEST_CASE("panels of the right factor") {
  check(kNr, [](const float* b, int64_t col_stride, int64_t depth_stride, int64_t cols, int64_t depth, float* panel) {
    pack_right(b, depth_stride, col_stride, depth, cols, panel);
  });
}

}  // namespace lowpeak
