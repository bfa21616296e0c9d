// lowpeak::write_rows.
#include <cstring>

#include "call.h"
#include "kernels.h"

namespace lowpeak {

// values: whole or None, tile, axis, start, rows, out, out; axes before `axis` are of size 1
void write_rows_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(7)) return;
  const Tensor &tile = call.tensor(1), &out = call.tensor(5);
  const int64_t axis = call.integer(2), start = call.integer(3);
  if (!call.require(axis >= 0 && axis < tile.dim() && out.dim() == tile.dim())) return;
  const int64_t rows = tile.size(axis), all = out.size(axis);
  if (!call.require(rows > 0 && start >= 0 && start + rows <= all && out.numel() / all == tile.numel() / rows)) return;
  Pool pool;
  if (call.given(0)) {
    if (!call.require(call.tensor(0).nbytes() == out.nbytes())) return;
    start_from(call.tensor(0), out, pool);
  }
  const char* from = static_cast<const char*>(tile.const_data_ptr());
  const int64_t nbytes = static_cast<int64_t>(tile.nbytes());
  char* to = static_cast<char*>(out.mutable_data_ptr()) + nbytes / rows * start;
  pool.run(nbytes, [&](int64_t begin, int64_t end, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace lowpeak
