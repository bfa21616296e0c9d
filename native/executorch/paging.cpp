// lowpeak::read_ahead and give_back: instructions of a program beside its operators.
#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/pages.h"

namespace lowpeak {

namespace {

constexpr Argument arguments[] = {tensor("a tensor", Elements::any, "?")};

template <typename Advise>
void for_each_tensor(const Call& call, const Advise& advise) {
  for (size_t i = 0; i < call.count(); ++i) advise(call.tensor(i).const_data_ptr(), call.tensor(i).nbytes());
}

void read_them_ahead(Call& call) { for_each_tensor(call, read_ahead); }
void give_them_back(Call& call) { for_each_tensor(call, give_back); }

}  // namespace

constexpr Operator read_ahead_operator("lowpeak::read_ahead", arguments, nullptr, read_them_ahead, true);
constexpr Operator give_back_operator("lowpeak::give_back", arguments, nullptr, give_them_back, true);

}  // namespace lowpeak
