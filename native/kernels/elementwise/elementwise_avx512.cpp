// Compiled with -mavx512f -mavx512dq -mfma -mf16c.
#include "kernels/elementwise/elementwise_table.h"

namespace lowpeak {

const ElementwiseKernels avx512_elementwise_kernels = elementwise_table;

}  // namespace lowpeak
