// lowpeak::store, load and loaded.
#include <cstring>

#include "call.h"
#include "kernels.h"
#include "offload_file.h"

namespace lowpeak {
namespace {

// Whether there is a file and it did what was asked.
template <typename Request>
void with_file(Call& call, const Request& request) {
  OffloadFile* file = offload_file();
  if (call.require(file != nullptr)) call.require(request(*file));
}

}  // namespace

// values: value, offset, token, token
void store_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(4)) return;
  const Tensor& value = call.tensor(0);
  with_file(call, [&](OffloadFile& file) {
    return file.store(value.const_data_ptr(), value.nbytes(), call.integer(1));
  });
}

// values: token, offset, shape, dtype, out, out
void load_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(6)) return;
  const Tensor& out = call.tensor(4);
  with_file(call, [&](OffloadFile& file) {
    return file.load(out.mutable_data_ptr(), out.nbytes(), call.integer(1));
  });
}

// values: value, out, out
void loaded_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(3)) return;
  const Tensor &value = call.tensor(0), &out = call.tensor(1);
  with_file(call, [&](OffloadFile& file) { return file.wait(value.const_data_ptr()); });
  if (value.const_data_ptr() != out.const_data_ptr()) {
    std::memcpy(out.mutable_data_ptr(), value.const_data_ptr(), value.nbytes());
  }
}

}  // namespace lowpeak
