// The matrix products for ctypes: tests/native and benchmarks.
#include "kernels/linear/linear.h"

#include "kernels/c_api/threads.h"
#include "kernels/simd/cpu.h"

#if defined(_WIN32)
#define LOWPEAK_EXPORT extern "C" __declspec(dllexport)
#else
#define LOWPEAK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace lowpeak;

namespace {

QuantizedMatrix quantized(const void* data, const void* scale, const float* zero_point, int64_t rows, int64_t cols,
                          int64_t group_size, int bits, int scale_is_half) {
  return {static_cast<const uint8_t*>(data), scale, zero_point, rows, cols, group_size, bits, scale_is_half != 0};
}

Write write_mode(int accumulate) { return accumulate ? Write::accumulate : Write::replace; }
Op op(int transposed) { return transposed ? Op::transposed : Op::plain; }

}  // namespace

// `isa`: 0 generic, 1 AVX2, 2 NEON, 3 AVX-512; it has to be one that lowpeak_has_isa grants.
LOWPEAK_EXPORT int lowpeak_has_isa(int isa) { return has_isa(static_cast<Isa>(isa)); }
LOWPEAK_EXPORT int lowpeak_best_isa() { return static_cast<int>(best_isa()); }

LOWPEAK_EXPORT Parallel* lowpeak_threads_create(int workers) { return new Threads(workers); }
LOWPEAK_EXPORT void lowpeak_threads_destroy(Parallel* threads) { delete threads; }

LOWPEAK_EXPORT int64_t lowpeak_matmul_scratch_bytes(int workers) { return matmul_scratch_bytes(workers); }

LOWPEAK_EXPORT void lowpeak_linear_forward(const float* x, int64_t x_stride, int64_t tokens, const void* data,
                                           const void* scale, const float* zero_point, int64_t rows, int64_t cols,
                                           int64_t group_size, int bits, int scale_is_half, const float* bias, float* y,
                                           int64_t y_stride, int accumulate, Parallel* threads, void* scratch,
                                           int isa) {
  const QuantizedMatrix weight = quantized(data, scale, zero_point, rows, cols, group_size, bits, scale_is_half);
  linear_forward({x, tokens, cols, x_stride}, weight, bias, {y, tokens, rows, y_stride}, write_mode(accumulate),
                 *threads, scratch, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_linear_input_gradient(const float* dy, int64_t dy_stride, int64_t tokens, const void* data,
                                                  const void* scale, const float* zero_point, int64_t rows,
                                                  int64_t cols, int64_t group_size, int bits, int scale_is_half,
                                                  float* dx, int64_t dx_stride, int accumulate, Parallel* threads,
                                                  void* scratch, int isa) {
  const QuantizedMatrix weight = quantized(data, scale, zero_point, rows, cols, group_size, bits, scale_is_half);
  linear_input_gradient({dy, tokens, rows, dy_stride}, weight, {dx, tokens, cols, dx_stride}, write_mode(accumulate),
                        *threads, scratch, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_matmul(const float* a, int64_t a_rows, int64_t a_cols, int64_t a_stride, int a_transposed,
                                   const float* b, int64_t b_rows, int64_t b_cols, int64_t b_stride, int b_transposed,
                                   float alpha, float* c, int64_t c_rows, int64_t c_cols, int64_t c_stride,
                                   int accumulate, Parallel* threads, void* scratch, int isa) {
  matmul({a, a_rows, a_cols, a_stride}, op(a_transposed), {b, b_rows, b_cols, b_stride}, op(b_transposed), alpha,
         {c, c_rows, c_cols, c_stride}, write_mode(accumulate), *threads, scratch, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_gather_rows(const void* data, const void* scale, const float* zero_point, int64_t rows,
                                        int64_t cols, int64_t group_size, int bits, int scale_is_half,
                                        const int64_t* ids, int64_t ids_count, float* out, int64_t out_stride,
                                        Parallel* threads, int isa) {
  const QuantizedMatrix weight = quantized(data, scale, zero_point, rows, cols, group_size, bits, scale_is_half);
  gather_rows(weight, ids, ids_count, out, out_stride, *threads, static_cast<Isa>(isa));
}
