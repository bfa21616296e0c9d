// Loading this library, or linking it whole, makes the lowpeak:: operators known to ExecuTorch.
#include <executorch/runtime/kernel/operator_registry.h>

#include "kernels.h"

namespace lowpeak {

namespace {

const executorch::runtime::Kernel kernels[] = {
    executorch::runtime::Kernel("lowpeak::cached_attention.out", cached_attention_kernel),
    executorch::runtime::Kernel("lowpeak::causal_attention.out", causal_attention_kernel),
    executorch::runtime::Kernel("lowpeak::causal_attention_backward.out", causal_attention_backward_kernel),
    executorch::runtime::Kernel("lowpeak::causal_attention_backward_add.out", causal_attention_backward_add_kernel),
    executorch::runtime::Kernel("lowpeak::dequantize_rows.out", dequantize_rows_kernel),
    executorch::runtime::Kernel("lowpeak::give_back", give_back_kernel),
    executorch::runtime::Kernel("lowpeak::load.out", load_kernel),
    executorch::runtime::Kernel("lowpeak::loaded.out", loaded_kernel),
    executorch::runtime::Kernel("lowpeak::matmul.out", matmul_kernel),
    executorch::runtime::Kernel("lowpeak::matmul_add.out", matmul_add_kernel),
    executorch::runtime::Kernel("lowpeak::quantized_linear.out", quantized_linear_kernel),
    executorch::runtime::Kernel("lowpeak::quantized_linear_cross_entropy.out", quantized_linear_cross_entropy_kernel),
    executorch::runtime::Kernel("lowpeak::quantized_linear_input_gradient.out",
                                quantized_linear_input_gradient_kernel),
    executorch::runtime::Kernel("lowpeak::quantized_linear_input_gradient_add.out",
                                quantized_linear_input_gradient_add_kernel),
    executorch::runtime::Kernel("lowpeak::read_ahead", read_ahead_kernel),
    executorch::runtime::Kernel("lowpeak::rms_norm.out", rms_norm_kernel),
    executorch::runtime::Kernel("lowpeak::rms_norm_backward.out", rms_norm_backward_kernel),
    executorch::runtime::Kernel("lowpeak::rotary.out", rotary_kernel),
    executorch::runtime::Kernel("lowpeak::select_rows.out", select_rows_kernel),
    executorch::runtime::Kernel("lowpeak::store.out", store_kernel),
    executorch::runtime::Kernel("lowpeak::swiglu.out", swiglu_kernel),
    executorch::runtime::Kernel("lowpeak::swiglu_backward.out", swiglu_backward_kernel),
    executorch::runtime::Kernel("lowpeak::write_rows.out", write_rows_kernel),
};

[[maybe_unused]] const executorch::runtime::Error registered =
    executorch::runtime::register_kernels({kernels, sizeof(kernels) / sizeof(kernels[0])});

}  // namespace

}  // namespace lowpeak
