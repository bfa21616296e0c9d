// Compiled with -mavx2 -mfma.
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels avx2_elementwise_kernels = elementwise_table;

}  // namespace lowpeak
