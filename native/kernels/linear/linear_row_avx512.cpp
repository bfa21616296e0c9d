// Compiled with -mavx512f -mavx512dq -mavx512vnni -mfma -mf16c.
#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels kAvx512RowKernels = kRowTable;

}  // namespace lowpeak
