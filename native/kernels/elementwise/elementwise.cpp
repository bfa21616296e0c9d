#include "kernels/elementwise/elementwise_rows.h"

namespace lowpeak {
namespace {

template <class Arguments>
void over_tokens(const Arguments& arguments, void (*rows)(const Arguments&, int64_t, int64_t), Parallel& parallel) {
  parallel.run(arguments.tokens, [&](int64_t begin, int64_t end, int) { rows(arguments, begin, end); });
}

}  // namespace

const ElementwiseKernels& elementwise_kernels(Isa isa) {
  switch (isa) {
#if defined(LOWPEAK_HAVE_X86)
    case Isa::avx2: return kAvx2ElementwiseKernels;
    case Isa::avx512: return kAvx512ElementwiseKernels;
#endif
#if defined(LOWPEAK_HAVE_NEON)
    case Isa::neon: return kNeonElementwiseKernels;
#endif
    default: return kGenericElementwiseKernels;
  }
}

void rms_norm_forward(const RmsNormForward& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).rms_norm_forward, parallel);
}

void rms_norm_backward(const RmsNormBackward& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).rms_norm_backward, parallel);
}

void rotary_forward(const Rotary& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).rotary_forward, parallel);
}

void rotary_backward(const Rotary& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).rotary_backward, parallel);
}

void swiglu_forward(const SwigluForward& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).swiglu_forward, parallel);
}

void swiglu_backward(const SwigluBackward& arguments, Parallel& parallel, Isa isa) {
  over_tokens(arguments, elementwise_kernels(isa).swiglu_backward, parallel);
}

}  // namespace lowpeak
