// lowpeak::read_ahead and give_back: instructions of a program beside its operators.
#include "call.h"
#include "kernels.h"
#include "pages.h"

namespace lowpeak {

namespace {

template <typename Advise>
void for_each_tensor(Span<EValue*> values, const Advise& advise) {
  for (const EValue* value : values) {
    if (value->isTensor()) advise(value->toTensor().const_data_ptr(), value->toTensor().nbytes());
  }
}

}  // namespace

// values: any tensors
void read_ahead_kernel(KernelRuntimeContext&, Span<EValue*> values) { for_each_tensor(values, read_ahead); }

// values: any tensors
void give_back_kernel(KernelRuntimeContext&, Span<EValue*> values) { for_each_tensor(values, give_back); }

}  // namespace lowpeak
