#include "kernels/linear/linear_blocked.h"

#include <algorithm>
#include <cstring>

namespace lowpeak {
namespace {

// A block of the left factor (1 KB a row) and a panel of the right one (128 KB) share a core's L2 cache; the tiles
// of the panel that a register tile reads (16 KB each) stay in L1 while the rows of the block pass by.
constexpr int64_t kKc = 256;
constexpr int64_t kNc = 128;

constexpr int64_t kCacheLine = 64;
constexpr int64_t kWorkerFloats = kKc * (kMcMost + kNc);

// Blocks begin at multiples of this, so that they cut few groups of quantized weights.
constexpr int64_t kDepthStep = 32;

static_assert(kNc % kNr == 0 && kKc % kDepthStep == 0);

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The least number of blocks of at most `limit`, all but the last of one size.
int64_t even_block(int64_t count, int64_t limit, int64_t step) {
  return count == 0 ? limit : round_up(ceil_div(count, ceil_div(count, limit)), step);
}

// Reading the left factor in place costs less than packing it, if few tiles read it.
bool packs_left(const BlockedProduct& p, int64_t cols) { return p.a_depth_stride != 1 || cols > 2 * kNr; }

// Threads share out c as a grid of cells, so that no sum is split.
struct Grid {
  int64_t cell_rows, cell_cols;
};

// Work of one cell in multiply-adds of a vector. More cells in a row of the grid pack the same rows of `a`,
// more in a column decode the same columns of `b`; edges count as whole tiles.
double cell_cost(const BlockedProduct& p, const LinearKernels& kernels, Grid grid) {
  constexpr double kPackA = 2.0, kPackB = 1.0;
  const double rows = static_cast<double>(grid.cell_rows), cols = static_cast<double>(grid.cell_cols);
  const double blocks = static_cast<double>(ceil_div(grid.cell_rows, kernels.mc));
  return rows * cols / 8 + (packs_left(p, grid.cell_cols) ? kPackA * rows : 0) + kPackB * cols * blocks;
}

Grid choose_grid(const BlockedProduct& p, const LinearKernels& kernels, int workers) {
  Grid best = {};
  double least = 0;
  for (int across = workers; across >= 1; --across) {
    const int64_t down = workers / across;
    const Grid grid = {round_up(ceil_div(p.rows, down), kernels.mr), round_up(ceil_div(p.cols, across), kernels.nr)};
    const double cost = cell_cost(p, kernels, grid);
    if (across == workers || cost < least) {
      least = cost;
      best = grid;
    }
  }
  return best;
}

void add_bias(const BlockedProduct& p, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  for (int64_t i = row; i < row + rows; ++i) {
    float* c = p.c + i * p.c_stride;
    for (int64_t j = col; j < col + cols; ++j) c[j] = p.bias[j] + (p.write == Write::accumulate ? c[j] : 0.0f);
  }
}

// The part of c in rows row .. row_end and columns col .. col_end, by one thread.
void multiply_cell(const BlockedProduct& p, const LinearKernels& kernels, int64_t row, int64_t row_end, int64_t col,
                   int64_t col_end, float* packed_a, float* panel) {
  const bool pack = packs_left(p, col_end - col);
  const int64_t rows_step = even_block(row_end - row, kernels.mc, kernels.mr);
  const int64_t depth_block = even_block(p.depth, kKc, kDepthStep);
  for (int64_t i0 = row; i0 < row_end; i0 += rows_step) {
    const int64_t rows = std::min(rows_step, row_end - i0);
    int64_t k0 = 0;
    do {  // once for a depth of 0 too, which writes zeros
      const int64_t depth = std::min(depth_block, p.depth - k0);
      const float* a = p.a + i0 * p.a_row_stride + k0 * p.a_depth_stride;
      if (pack) kernels.pack_left(a, p.a_row_stride, p.a_depth_stride, rows, depth, packed_a);
      for (int64_t j0 = col; j0 < col_end; j0 += kNc) {
        const int64_t cols = std::min(kNc, col_end - j0);
        p.b->pack(k0, depth, j0, cols, panel);
        if (p.bias && k0 == 0) add_bias(p, i0, rows, j0, cols);
        TileProduct tile;
        tile.a_row_stride = pack ? 1 : p.a_row_stride;
        tile.a_depth_stride = pack ? kernels.mr : p.a_depth_stride;
        tile.depth = depth;
        tile.b_tile_stride = depth * kNr;
        tile.c_stride = p.c_stride;
        tile.alpha = p.alpha;
        tile.accumulate = k0 > 0 || p.bias || p.write == Write::accumulate;
        for (int64_t j = 0; j < cols; j += kernels.nr) {
          tile.b = panel + j * depth;
          tile.cols = static_cast<int>(std::min<int64_t>(kernels.nr, cols - j));
          for (int64_t i = 0; i < rows; i += kernels.mr) {
            tile.a = pack ? packed_a + i * depth : a + i * p.a_row_stride;
            tile.rows = static_cast<int>(std::min<int64_t>(kernels.mr, rows - i));
            tile.c = p.c + (i0 + i) * p.c_stride + j0 + j;
            kernels.multiply_tile(tile);
          }
        }
      }
      k0 += depth_block;
    } while (k0 < p.depth);
  }
}

}  // namespace

int64_t matmul_scratch_bytes(int workers) {
  return workers * kWorkerFloats * static_cast<int64_t>(sizeof(float)) + kCacheLine;
}

void multiply_blocked(const BlockedProduct& product, const LinearKernels& kernels, Parallel& parallel, void* scratch) {
  if (product.rows == 0 || product.cols == 0) return;
  const Grid grid = choose_grid(product, kernels, parallel.workers());
  const int64_t across = ceil_div(product.cols, grid.cell_cols);
  const int64_t cells = across * ceil_div(product.rows, grid.cell_rows);
  float* aligned =
      reinterpret_cast<float*>(round_up(static_cast<int64_t>(reinterpret_cast<uintptr_t>(scratch)), kCacheLine));
  parallel.run(cells, [&](int64_t begin, int64_t end, int worker) {
    float* packed_a = aligned + worker * kWorkerFloats;
    float* panel = packed_a + kKc * kMcMost;
    for (int64_t cell = begin; cell < end; ++cell) {
      const int64_t row = cell / across * grid.cell_rows, col = cell % across * grid.cell_cols;
      multiply_cell(product, kernels, row, std::min(row + grid.cell_rows, product.rows), col,
                    std::min(col + grid.cell_cols, product.cols), packed_a, panel);
    }
  });
}

}  // namespace lowpeak
