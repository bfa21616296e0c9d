#include "kernels/linear/linear.h"

#include <cstring>

#include "kernels/linear/linear_blocked.h"
#include "kernels/linear/linear_kernels.h"
#include "kernels/linear/linear_pack.h"
#include "kernels/linear/linear_row.h"

namespace lowpeak {
namespace {

class DenseSource : public PanelSource {
 public:
  DenseSource(const float* data, int64_t depth_stride, int64_t col_stride)
      : data_(data), depth_stride_(depth_stride), col_stride_(col_stride) {}

  void pack(int64_t first, int64_t depth, int64_t col, int64_t cols, float* panel) const override {
    const float* piece = data_ + first * depth_stride_ + col * col_stride_;
    pack_right(piece, depth_stride_, col_stride_, depth, cols, panel);
  }

 private:
  const float* data_;
  int64_t depth_stride_, col_stride_;
};

class QuantizedSource : public PanelSource {
 public:
  QuantizedSource(const QuantizedMatrix& weight, Op op, const LinearKernels& kernels)
      : weight_(weight), op_(op), kernels_(kernels) {}

  void pack(int64_t first, int64_t depth, int64_t col, int64_t cols, float* panel) const override {
    if (op_ == Op::transposed) {
      kernels_.decode_transposed(weight_, col, cols, first, depth, panel);
    } else {
      kernels_.decode(weight_, first, depth, col, cols, panel);
    }
  }

 private:
  const QuantizedMatrix& weight_;
  Op op_;
  const LinearKernels& kernels_;
};

}  // namespace

void linear_forward(ConstMatrix x, const QuantizedMatrix& weight, const float* bias, Matrix y, Write write,
                    Parallel& parallel, void* scratch, Isa isa) {
  if (is_row_product(x, weight, row_kernels(isa))) {
    multiply_row(x, weight, bias, y, write, row_kernels(isa), parallel, scratch);
    return;
  }
  const LinearKernels& kernels = linear_kernels(isa);
  const QuantizedSource source(weight, Op::transposed, kernels);
  multiply_blocked({x.rows, x.cols, weight.rows, x.data, x.stride, 1, &source, 1.0f, bias, y.data, y.stride, write},
                   kernels, parallel, scratch);
}

void linear_input_gradient(ConstMatrix dy, const QuantizedMatrix& weight, Matrix dx, Write write, Parallel& parallel,
                           void* scratch, Isa isa) {
  const LinearKernels& kernels = linear_kernels(isa);
  const QuantizedSource source(weight, Op::plain, kernels);
  multiply_blocked(
      {dy.rows, dy.cols, weight.cols, dy.data, dy.stride, 1, &source, 1.0f, nullptr, dx.data, dx.stride, write},
      kernels, parallel, scratch);
}

void matmul(ConstMatrix a, Op op_a, ConstMatrix b, Op op_b, float alpha, Matrix c, Write write, Parallel& parallel,
            void* scratch, Isa isa) {
  const bool a_plain = op_a == Op::plain, b_plain = op_b == Op::plain;
  if (a_plain && !b_plain && a.rows == 1) {
    multiply_row_dense(a.data, b, alpha, c.data, write, row_kernels(isa), parallel);
    return;
  }
  const DenseSource source(b.data, b_plain ? b.stride : 1, b_plain ? 1 : b.stride);
  multiply_blocked({c.rows, a_plain ? a.cols : a.rows, c.cols, a.data, a_plain ? a.stride : 1, a_plain ? 1 : a.stride,
                    &source, alpha, nullptr, c.data, c.stride, write},
                   linear_kernels(isa), parallel, scratch);
}

void gather_rows(const QuantizedMatrix& weight, const int64_t* ids, int64_t ids_count, float* out, int64_t out_stride,
                 Parallel& parallel, Isa isa, const Used& used) {
  const LinearKernels& kernels = linear_kernels(isa);
  const int64_t whole_tiles = weight.cols / kNr * kNr;
  parallel.run(ids_count, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      // A panel of one row is the row itself, but for what rounds the last tile up.
      float* row = out + i * out_stride;
      kernels.decode(weight, ids[i], 1, 0, whole_tiles, row);
      if (whole_tiles < weight.cols) {
        float last[kNr];
        kernels.decode(weight, ids[i], 1, whole_tiles, weight.cols - whole_tiles, last);
        std::memcpy(row + whole_tiles, last, static_cast<size_t>(weight.cols - whole_tiles) * sizeof(float));
      }
      if (used) used(slice_rows(weight, ids[i], 1));
    }
  });
}

}  // namespace lowpeak
