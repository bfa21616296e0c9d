#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels kNeonRowKernels = kRowTable;

}  // namespace lowpeak
