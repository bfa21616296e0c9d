#define LOWPEAK_PORTABLE 1
#include "kernels/attention/attention_backward.h"
#include "kernels/attention/attention_forward.h"
#include "kernels/attention/cached_attention_query.h"

namespace lowpeak {

const AttentionKernels kGenericAttentionKernels = {forward_scratch, backward_scratch, forward_block,
                                                   backward_delta,  backward_block,   one_query};

}  // namespace lowpeak
