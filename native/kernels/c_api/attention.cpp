// Attention for ctypes: tests/native and benchmarks.
#include "kernels/attention/attention.h"

#if defined(_WIN32)
#define LOWPEAK_EXPORT extern "C" __declspec(dllexport)
#else
#define LOWPEAK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace lowpeak;

// `shape`: heads, key heads, dim, begin, end. `strides`: token and head stride of each tensor in the order of the
// pointers, the logsumexp's is its head stride alone.
namespace {

AttentionShape shape_of(const int64_t* shape, float scale) {
  return {shape[0], shape[1], shape[2], shape[3], shape[4], scale};
}

template <class Float>
Heads<Float> heads(Float* data, const int64_t*& strides) {
  const Heads<Float> result = {data, strides[0], strides[1]};
  strides += 2;
  return result;
}

}  // namespace

LOWPEAK_EXPORT int64_t lowpeak_attention_forward_scratch_bytes(const int64_t* shape, int workers, int isa) {
  return attention_forward_scratch_bytes(shape_of(shape, 1.0f), workers, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT int64_t lowpeak_attention_backward_scratch_bytes(const int64_t* shape, int workers, int isa) {
  return attention_backward_scratch_bytes(shape_of(shape, 1.0f), workers, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_attention_forward(const float* query, const float* key, const float* value, float* out,
                                              float* logsumexp, const int64_t* strides, const int64_t* shape,
                                              float scale, Parallel* threads, void* scratch, int isa) {
  AttentionForward arguments;
  arguments.shape = shape_of(shape, scale);
  arguments.query = heads(query, strides);
  arguments.key = heads(key, strides);
  arguments.value = heads(value, strides);
  arguments.out = heads(out, strides);
  arguments.logsumexp = logsumexp;
  arguments.logsumexp_head_stride = *strides;
  attention_forward(arguments, *threads, scratch, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_attention_backward(const float* grad, const float* query, const float* key,
                                               const float* value, const float* out, const float* logsumexp,
                                               float* grad_query, float* grad_key, float* grad_value,
                                               const int64_t* strides, const int64_t* shape, int64_t written,
                                               float scale, Parallel* threads, void* scratch, int isa) {
  AttentionBackward arguments;
  arguments.shape = shape_of(shape, scale);
  arguments.grad = heads(grad, strides);
  arguments.query = heads(query, strides);
  arguments.key = heads(key, strides);
  arguments.value = heads(value, strides);
  arguments.out = heads(out, strides);
  arguments.logsumexp = logsumexp;
  arguments.logsumexp_head_stride = *strides++;
  arguments.grad_query = heads(grad_query, strides);
  arguments.grad_key = heads(grad_key, strides);
  arguments.grad_value = heads(grad_value, strides);
  arguments.written = written;
  attention_backward(arguments, *threads, scratch, static_cast<Isa>(isa));
}
