#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels neon_elementwise_kernels = elementwise_table;

}  // namespace lowpeak
