// The one place where the arguments of a kernel call are checked, against the declaration of its operator.
#pragma once

#include "executorch/call.h"

namespace lowpeak {

// Runs the operator's kernel if the values are what it declares. Else the call has failed with InvalidArgument, the
// log names the argument, and no tensor was read or written.
void check_and_run(const Operator& called, KernelRuntimeContext& context, Span<EValue*> values);

// The form that ExecuTorch registers.
template <const Operator& called>
void kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  check_and_run(called, context, values);
}

}  // namespace lowpeak
