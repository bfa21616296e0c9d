// Compiled with -mavx2 -mfma.
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels kAvx2ElementwiseKernels = kElementwiseTable;

}  // namespace lowpeak
