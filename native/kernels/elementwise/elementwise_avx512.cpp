// Compiled with -mavx512f -mavx512dq -mfma -mf16c.
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels kAvx512ElementwiseKernels = kElementwiseTable;

}  // namespace lowpeak
