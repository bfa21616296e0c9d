#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels kNeonElementwiseKernels = kElementwiseTable;

}  // namespace lowpeak
