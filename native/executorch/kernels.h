// The lowpeak:: operators as kernels of an ExecuTorch runtime; compiler/ops/ says what each computes.
#pragma once

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/span.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

namespace lowpeak {

using Kernel = void(executorch::runtime::KernelRuntimeContext&, executorch::runtime::Span<executorch::runtime::EValue*>);

Kernel cached_attention_kernel;
Kernel causal_attention_kernel;
Kernel causal_attention_backward_kernel;
Kernel causal_attention_backward_add_kernel;
Kernel dequantize_rows_kernel;
Kernel give_back_kernel;
Kernel load_kernel;
Kernel loaded_kernel;
Kernel matmul_kernel;
Kernel matmul_add_kernel;
Kernel quantized_linear_kernel;
Kernel quantized_linear_cross_entropy_kernel;
Kernel quantized_linear_input_gradient_kernel;
Kernel quantized_linear_input_gradient_add_kernel;
Kernel read_ahead_kernel;
Kernel rms_norm_kernel;
Kernel rms_norm_backward_kernel;
Kernel rotary_kernel;
Kernel select_rows_kernel;
Kernel store_kernel;
Kernel swiglu_kernel;
Kernel swiglu_backward_kernel;
Kernel write_rows_kernel;

}  // namespace lowpeak
