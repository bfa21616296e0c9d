// Compiled with -mavx2 -mfma -mf16c.
#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels kAvx2RowKernels = kRowTable;

}  // namespace lowpeak
