#define LOWPEAK_PORTABLE 1
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels generic_elementwise_kernels = elementwise_table;

}  // namespace lowpeak
