#define LOWPEAK_PORTABLE 1
#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels generic_row_kernels = row_table;

}  // namespace lowpeak
