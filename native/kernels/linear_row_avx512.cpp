// Compiled with -mavx512f -mavx512dq -mfma -mf16c.
#include "linear_row_sums.h"

namespace lowpeak {

const RowKernels avx512_row_kernels = row_table;

}  // namespace lowpeak
