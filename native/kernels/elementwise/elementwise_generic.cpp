#define LOWPEAK_PORTABLE 1
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels kGenericElementwiseKernels = kElementwiseTable;

}  // namespace lowpeak
