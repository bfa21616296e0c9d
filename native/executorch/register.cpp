// Loading this library, or linking it whole, makes the lowpeak:: operators known to ExecuTorch.
#include <executorch/runtime/kernel/operator_registry.h>

#include "executorch/check.h"
#include "executorch/kernels.h"

namespace lowpeak {

namespace {

template <const Operator& registered>
executorch::runtime::Kernel checked() {
  return executorch::runtime::Kernel(registered.name, kernel<registered>);
}

const executorch::runtime::Kernel kKernels[] = {
    checked<kCachedAttentionOperator>(),
    checked<kCausalAttentionOperator>(),
    checked<kCausalAttentionBackwardOperator>(),
    checked<kCausalAttentionBackwardAddOperator>(),
    checked<kDequantizeRowsOperator>(),
    checked<kGiveBackOperator>(),
    checked<kLoadOperator>(),
    checked<kLoadedOperator>(),
    checked<kMatmulOperator>(),
    checked<kMatmulAddOperator>(),
    checked<kQuantizedLinearOperator>(),
    checked<kQuantizedLinearCrossEntropyOperator>(),
    checked<kQuantizedLinearInputGradientOperator>(),
    checked<kQuantizedLinearInputGradientAddOperator>(),
    checked<kReadAheadOperator>(),
    checked<kRmsNormOperator>(),
    checked<kRmsNormBackwardOperator>(),
    checked<kRotaryOperator>(),
    checked<kSelectRowsOperator>(),
    checked<kStoreOperator>(),
    checked<kSwigluOperator>(),
    checked<kSwigluBackwardOperator>(),
    checked<kWriteRowsOperator>(),
};

[[maybe_unused]] const executorch::runtime::Error kKnown =
    executorch::runtime::register_kernels({kKernels, sizeof(kKernels) / sizeof(kKernels[0])});

}  // namespace

}  // namespace lowpeak
