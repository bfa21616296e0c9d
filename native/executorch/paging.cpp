// lowpeak::read_ahead and give_back: instructions of a program beside its operators.
#include "call.h"
#include "kernels.h"
#include "pages.h"

namespace lowpeak {

// values: data, scale, zero_point, bits
void read_ahead_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (call.takes(4) && call.has_quantized(0)) read_ahead(call.quantized(0));
}

// values: any tensors
void give_back_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  const Call call(context, values);
  for (size_t i = 0; i < values.size(); ++i) give_back(call.tensor(i).const_data_ptr(), call.tensor(i).nbytes());
}

}  // namespace lowpeak
