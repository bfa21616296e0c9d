// lowpeak::select_rows and write_rows.
#include <cstring>

#include "call.h"
#include "kernels.h"
#include "pages.h"

namespace lowpeak {

// values: source, ids, out, out
void select_rows_kernel(KernelRuntimeContext& context, Span<EValue*> values) {
  Call call(context, values);
  if (!call.takes(4)) return;
  const Tensor &source = call.tensor(0), &ids = call.tensor(1), &out = call.tensor(2);
  const int64_t rows = source.size(0);
  if (!call.require(rows > 0 && source.scalar_type() == out.scalar_type() &&
                    out.numel() == source.numel() / rows * ids.numel())) {
    return;
  }
  const int64_t* chosen = call.row_ids(1, rows);
  if (!chosen) return;
  const char* from = static_cast<const char*>(source.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const size_t row_bytes = source.nbytes() / static_cast<size_t>(rows);
  for (int64_t i = 0; i < ids.numel(); ++i) {
    const char* row = from + static_cast<size_t>(chosen[i]) * row_bytes;
    std::memcpy(to + static_cast<size_t>(i) * row_bytes, row, row_bytes);
    give_back(row, row_bytes);
  }
}

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
