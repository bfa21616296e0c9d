// The lowpeak:: operators as an ExecuTorch runtime has them; lowpeak_artifact/ops/ says what each computes.
#pragma once

#include "executorch/operator.h"

namespace lowpeak {

extern const Operator kCachedAttentionOperator;
extern const Operator kCausalAttentionOperator;
extern const Operator kCausalAttentionBackwardOperator;
extern const Operator kCausalAttentionBackwardAddOperator;
extern const Operator kDequantizeRowsOperator;
extern const Operator kGiveBackOperator;
extern const Operator kLoadOperator;
extern const Operator kLoadedOperator;
extern const Operator kMatmulOperator;
extern const Operator kMatmulAddOperator;
extern const Operator kQuantizedLinearOperator;
extern const Operator kQuantizedLinearCrossEntropyOperator;
extern const Operator kQuantizedLinearInputGradientOperator;
extern const Operator kQuantizedLinearInputGradientAddOperator;
extern const Operator kReadAheadOperator;
extern const Operator kRmsNormOperator;
extern const Operator kRmsNormBackwardOperator;
extern const Operator kRotaryOperator;
extern const Operator kSelectRowsOperator;
extern const Operator kStoreOperator;
extern const Operator kSwigluOperator;
extern const Operator kSwigluBackwardOperator;
extern const Operator kWriteRowsOperator;

}  // namespace lowpeak
