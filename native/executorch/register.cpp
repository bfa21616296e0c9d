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

const executorch::runtime::Kernel kernels[] = {
    checked<cached_attention_operator>(),
    checked<causal_attention_operator>(),
    checked<causal_attention_backward_operator>(),
    checked<causal_attention_backward_add_operator>(),
    checked<dequantize_rows_operator>(),
    checked<give_back_operator>(),
    checked<load_operator>(),
    checked<loaded_operator>(),
    checked<matmul_operator>(),
    checked<matmul_add_operator>(),
    checked<quantized_linear_operator>(),
    checked<quantized_linear_cross_entropy_operator>(),
    checked<quantized_linear_input_gradient_operator>(),
    checked<quantized_linear_input_gradient_add_operator>(),
    checked<read_ahead_operator>(),
    checked<rms_norm_operator>(),
    checked<rms_norm_backward_operator>(),
    checked<rotary_operator>(),
    checked<select_rows_operator>(),
    checked<store_operator>(),
    checked<swiglu_operator>(),
    checked<swiglu_backward_operator>(),
    checked<write_rows_operator>(),
};

[[maybe_unused]] const executorch::runtime::Error known =
    executorch::runtime::register_kernels({kernels, sizeof(kernels) / sizeof(kernels[0])});

}  // namespace

}  // namespace lowpeak
