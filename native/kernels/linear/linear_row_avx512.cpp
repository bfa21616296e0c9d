// Compiled with -mavx512f -mavx512dq -mavx512vnni -mfma -mf16c.
#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels avx512_row_kernels = row_table;

}  // namespace lowpeak
