// The lowpeak:: operators as an ExecuTorch runtime has them; lowpeak_artifact/ops/ says what each computes.
#pragma once

#include "executorch/operator.h"

namespace lowpeak {

extern const Operator cached_attention_operator;
extern const Operator causal_attention_operator;
extern const Operator causal_attention_backward_operator;
extern const Operator causal_attention_backward_add_operator;
extern const Operator dequantize_rows_operator;
extern const Operator give_back_operator;
extern const Operator load_operator;
extern const Operator loaded_operator;
extern const Operator matmul_operator;
extern const Operator matmul_add_operator;
extern const Operator quantized_linear_operator;
extern const Operator quantized_linear_cross_entropy_operator;
extern const Operator quantized_linear_input_gradient_operator;
extern const Operator quantized_linear_input_gradient_add_operator;
extern const Operator read_ahead_operator;
extern const Operator rms_norm_operator;
extern const Operator rms_norm_backward_operator;
extern const Operator rotary_operator;
extern const Operator select_rows_operator;
extern const Operator store_operator;
extern const Operator swiglu_operator;
extern const Operator swiglu_backward_operator;
extern const Operator write_rows_operator;

}  // namespace lowpeak
