// Attention over a cache for ctypes: tests/native.
#include "kernels/attention/cached_attention.h"

#if defined(_WIN32)
#define LOWPEAK_EXPORT extern "C" __declspec(dllexport)
#else
#define LOWPEAK_EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace lowpeak;

namespace {

AttentionShape shape_of(const int64_t* shape, float scale) {
  return {shape[0], shape[1], shape[2], shape[3], shape[4], scale};
}

}  // namespace

// `shape`: heads, key heads, dim, begin, end. `strides`: token and head stride of query, key, value and out.
LOWPEAK_EXPORT int64_t lowpeak_cached_attention_scratch_bytes(const int64_t* shape, int workers, int isa) {
  return cached_attention_scratch_bytes(shape_of(shape, 1.0f), workers, static_cast<Isa>(isa));
}

LOWPEAK_EXPORT void lowpeak_cached_attention(const float* query, const float* key, const float* value, float* out,
                                             const int64_t* strides, const int64_t* shape, float scale,
                                             Parallel* threads, void* scratch, int isa) {
  cached_attention({shape_of(shape, scale),
                    {query, strides[0], strides[1]},
                    {key, strides[2], strides[3]},
                    {value, strides[4], strides[5]},
                    {out, strides[6], strides[7]}},
                   *threads, scratch, static_cast<Isa>(isa));
}
