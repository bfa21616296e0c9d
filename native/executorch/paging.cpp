// lowpeak::read_ahead and give_back: instructions of a program beside its operators.
#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/session.h"

namespace lowpeak {

namespace {

constexpr Argument kArguments[] = {tensor("a tensor", Elements::any, "?")};

template <typename Advise>
void for_each_tensor(const Call& call, const Advise& advise) {
  for (size_t i = 0; i < call.count(); ++i) advise(call.tensor(i).const_data_ptr(), call.tensor(i).nbytes());
}

void read_them_ahead(Call& call) {
  const Pages& pages = Session::current().pages();
  for_each_tensor(call, [&](const void* data, size_t bytes) { pages.read_ahead(data, bytes); });
}

void give_them_back(Call& call) {
  const Pages& pages = Session::current().pages();
  for_each_tensor(call, [&](const void* data, size_t bytes) { pages.give_back(data, bytes); });
}

}  // namespace

constexpr Operator kReadAheadOperator("lowpeak::read_ahead", kArguments, nullptr, read_them_ahead, true);
constexpr Operator kGiveBackOperator("lowpeak::give_back", kArguments, nullptr, give_them_back, true);

}  // namespace lowpeak
