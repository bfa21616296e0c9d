// Compiled with -mavx512f -mavx512dq -mfma -mf16c.
#include "kernels/attention/attention_backward.h"
#include "kernels/attention/attention_forward.h"
#include "kernels/attention/cached_attention_query.h"

namespace lowpeak {

const AttentionKernels kAvx512AttentionKernels = {forward_scratch, backward_scratch, forward_block,
                                                  backward_delta,  backward_block,   one_query};

}  // namespace lowpeak
