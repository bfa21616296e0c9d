#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels neon_row_kernels = row_table;

}  // namespace lowpeak
