// RMSNorm, rotary embedding, SwiGLU and exp for ctypes: tests/native and benchmarks.
#include "kernels/elementwise/elementwise_rows.h"

#if defined(_WIN32)
#define LOWPEAK_EXPORT extern "C" __declspec(dllexport)
#else
#define LOWPEAK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace lowpeak;

LOWPEAK_EXPORT void lowpeak_exp(const float* in, float* out, int64_t count, int isa) {
  elementwise_kernels(static_cast<Isa>(isa)).exp(in, out, count);
}

LOWPEAK_EXPORT void lowpeak_rms_norm_forward(const float* x, int64_t x_stride, const float* weight, float* out,
                                             int64_t out_stride, float* root, int64_t tokens, int64_t width,
                                             float epsilon, Parallel* threads, int isa) {
  rms_norm_forward({tokens, width, epsilon, {x, x_stride}, weight, {out, out_stride}, root}, *threads,
                   static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_rms_norm_backward(const float* grad, int64_t grad_stride, const float* x, int64_t x_stride,
                                              const float* weight, const float* root, const float* residual,
                                              int64_t residual_stride, float* grad_x, int64_t grad_x_stride,
                                              int64_t tokens, int64_t width, Parallel* threads, int isa) {
  rms_norm_backward({tokens,
                     width,
                     {grad, grad_stride},
                     {x, x_stride},
                     weight,
                     root,
                     {residual, residual_stride},
                     {grad_x, grad_x_stride}},
                    *threads, static_cast<Isa>(isa));
}

// strides: token and head stride of x, then of out, then the token stride of cos and of sin.
LOWPEAK_EXPORT void lowpeak_rotary(const float* x, const float* cos, const float* sin, float* out,
                                   const int64_t* strides, int64_t heads, int64_t tokens, int64_t dim, int backward,
                                   Parallel* threads, int isa) {
  const Rotary arguments = {heads,
                            tokens,
                            dim,
                            {x, strides[0], strides[1]},
                            {cos, strides[4]},
                            {sin, strides[5]},
                            {out, strides[2], strides[3]}};
  (backward ? rotary_backward : rotary_forward)(arguments, *threads, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_swiglu_forward(const float* gate, int64_t gate_stride, const float* up, int64_t up_stride,
                                           float* out, int64_t out_stride, int64_t tokens, int64_t width,
                                           Parallel* threads, int isa) {
  swiglu_forward({tokens, width, {gate, gate_stride}, {up, up_stride}, {out, out_stride}}, *threads,
                 static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_swiglu_backward(const float* grad, int64_t grad_stride, const float* gate,
                                            int64_t gate_stride, const float* up, int64_t up_stride, float* grad_gate,
                                            int64_t grad_gate_stride, float* grad_up, int64_t grad_up_stride,
                                            int64_t tokens, int64_t width, Parallel* threads, int isa) {
  swiglu_backward({tokens,
                   width,
                   {grad, grad_stride},
                   {gate, gate_stride},
                   {up, up_stride},
                   {grad_gate, grad_gate_stride},
                   {grad_up, grad_up_stride}},
                  *threads, static_cast<Isa>(isa));
}
