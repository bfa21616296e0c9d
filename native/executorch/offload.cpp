// lowpeak::store, load and loaded.
#include <cstring>

#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/offload_file.h"

namespace lowpeak {
namespace {

// The call fails if there is no file, or it does not do what is asked: it then says why (offload_file.h).
template <typename Request>
bool with_file(Call& call, const Request& request) {
  OffloadFile* file = offload_file();
  const bool done = file != nullptr && request(*file);
  if (!done) call.fail(Error::InvalidArgument);
  return done;
}

constexpr Argument store_arguments[] = {
    tensor("value", Elements::any, "?"),
    integer("offset", 'o'),
    out(tensor("token", Elements::uint8, "0")),
};

void store(Call& call) {
  const Tensor& value = call.tensor(0);
  with_file(call, [&](OffloadFile& file) { return file.store(value.const_data_ptr(), value.nbytes(), call['o']); });
}

constexpr Argument load_arguments[] = {
    tensor("token", Elements::uint8, "0"),  integer("offset", 'o'), integers("shape"), integer("dtype", 't'),
    out(tensor("out", Elements::any, "?")),
};

bool is_as_asked(const Call& call) {
  return call.are_sizes(2, 4) && call['t'] == static_cast<int64_t>(call.tensor(4).scalar_type());
}

void load(Call& call) {
  const Tensor& out = call.tensor(4);
  with_file(call, [&](OffloadFile& file) { return file.load(out.mutable_data_ptr(), out.nbytes(), call['o']); });
}

constexpr Argument loaded_arguments[] = {
    tensor("value", Elements::same, "*"),
    out(tensor("out", Elements::same, "*"), {0}),
};

void loaded(Call& call) {
  const Tensor &value = call.tensor(0), &out = call.tensor(1);
  if (!with_file(call, [&](OffloadFile& file) { return file.wait(value.const_data_ptr()); })) return;
  if (value.const_data_ptr() != out.const_data_ptr()) {
    std::memcpy(out.mutable_data_ptr(), value.const_data_ptr(), value.nbytes());
  }
}

}  // namespace

constexpr Operator store_operator("lowpeak::store.out", store_arguments, nullptr, store);
constexpr Operator load_operator("lowpeak::load.out", load_arguments, is_as_asked, load);
constexpr Operator loaded_operator("lowpeak::loaded.out", loaded_arguments, nullptr, loaded);

}  // namespace lowpeak
