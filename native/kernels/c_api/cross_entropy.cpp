// The cross-entropy for ctypes: tests/native.
#include "kernels/loss/cross_entropy.h"

#if defined(_WIN32)
#define LOWPEAK_EXPORT extern "C" __declspec(dllexport)
#else
#define LOWPEAK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace lowpeak;

LOWPEAK_EXPORT int64_t lowpeak_linear_cross_entropy_scratch_bytes(int workers) {
  return linear_cross_entropy_scratch_bytes(workers);
}

LOWPEAK_EXPORT void lowpeak_linear_cross_entropy(const float* hidden, int64_t hidden_stride, int64_t tokens,
                                                 const void* data, const void* scale, const float* zero_point,
                                                 int64_t rows, int64_t cols, int64_t group_size, int bits,
                                                 int scale_is_half, const float* bias, const int64_t* labels,
                                                 int64_t ignore_index, float* loss, float* gradient,
                                                 int64_t gradient_stride, Parallel* threads, void* scratch, int isa) {
  const QuantizedMatrix head = {
      static_cast<const uint8_t*>(data), scale, zero_point, rows, cols, group_size, bits, scale_is_half != 0};
  linear_cross_entropy({hidden, tokens, cols, hidden_stride}, head, bias, labels, ignore_index, loss,
                       {gradient, tokens, cols, gradient_stride}, *threads, scratch, static_cast<Isa>(isa));
}
