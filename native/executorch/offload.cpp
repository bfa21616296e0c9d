// lowpeak::store, load and loaded.
#include <cstring>

#include <executorch/runtime/platform/log.h>

#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/session.h"

namespace lowpeak {
namespace {

// The call fails if there is no file, or it does not do what is asked: it then says why.
template <typename Request>
bool with_file(Call& call, const Request& request) {
  OffloadFile* file = Session::current().offload_file();
  if (file == nullptr) ET_LOG(Error, "the session has no offload file");
  const bool done = file != nullptr && request(*file);
  if (!done) call.fail(Error::InvalidArgument);
  return done;
}

constexpr Argument kStoreArguments[] = {
    tensor("value", Elements::any, "?"),
    integer("offset", 'o'),
    out(tensor("token", Elements::uint8, "0")),
};

void store(Call& call) {
  const Tensor& value = call.tensor(0);
  with_file(call, [&](OffloadFile& file) { return file.store(value.const_data_ptr(), value.nbytes(), call['o']); });
}

constexpr Argument kLoadArguments[] = {
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

constexpr Argument kLoadedArguments[] = {
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

constexpr Operator kStoreOperator("lowpeak::store.out", kStoreArguments, nullptr, store);
constexpr Operator kLoadOperator("lowpeak::load.out", kLoadArguments, is_as_asked, load);
constexpr Operator kLoadedOperator("lowpeak::loaded.out", kLoadedArguments, nullptr, loaded);

}  // namespace lowpeak
