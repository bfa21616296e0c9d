#define LOWPEAK_PORTABLE 1
#include "kernels/linear/linear_row_table.h"

namespace lowpeak {

const RowKernels kGenericRowKernels = kRowTable;

}  // namespace lowpeak
