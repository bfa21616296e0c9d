// lowpeak::select_rows and write_rows.
#include <cstring>

#include "executorch/call.h"
#include "executorch/kernels.h"
#include "executorch/session.h"

namespace lowpeak {

namespace {

constexpr Argument kSelectArguments[] = {
    tensor("source", Elements::same, "r*"),
    ids("ids", "i"),
    out(tensor("out", Elements::same, "i*")),
};

bool are_rows_of_source(const Call& call) { return are_rows(call.ids(1), call['i'], call['r']); }

void select_rows(Call& call) {
  const Tensor &source = call.tensor(0), &out = call.tensor(2);
  const int64_t* chosen = call.ids(1);
  const char* from = static_cast<const char*>(source.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  const Pages& pages = Session::current().pages();
  const size_t row_bytes = source.nbytes() / static_cast<size_t>(call['r']);
  for (int64_t i = 0; i < call['i']; ++i) {
    const char* row = from + static_cast<size_t>(chosen[i]) * row_bytes;
    std::memcpy(to + static_cast<size_t>(i) * row_bytes, row, row_bytes);
    pages.give_back(row, row_bytes);
  }
}

constexpr Argument kWriteArguments[] = {
    or_none(tensor("whole", Elements::same, "*")),
    tensor("tile", Elements::same, "?"),
    integer("axis", 'a'),
    integer("start", 's'),
    integer("rows", 'r'),
    out(tensor("out", Elements::same, "*"), {0}),
};

// Whether the tile lies in the result: their axes are alike but for `axis`, and those before it are of size 1.
bool is_part(const Call& call) {
  const Tensor &tile = call.tensor(1), &out = call.tensor(5);
  const int64_t axis = call['a'];
  if (out.dim() != tile.dim() || axis < 0 || axis >= tile.dim()) return false;
  for (int64_t i = 0; i < tile.dim(); ++i) {
    if (i < axis && tile.size(i) != 1) return false;
    if (i != axis && tile.size(i) != out.size(i)) return false;
  }
  return call['r'] == out.size(axis) && call['s'] >= 0 && call['s'] <= out.size(axis) - tile.size(axis);
}

void write_rows(Call& call) {
  const Tensor &tile = call.tensor(1), &out = call.tensor(5);
  Pool pool;
  if (call.given(0)) start_from(call.tensor(0), out, pool);
  const char* from = static_cast<const char*>(tile.const_data_ptr());
  const int64_t nbytes = static_cast<int64_t>(tile.nbytes());
  char* to = static_cast<char*>(out.mutable_data_ptr()) + nbytes / tile.size(call['a']) * call['s'];
  pool.run(nbytes, [&](int64_t begin, int64_t end, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace

constexpr Operator kSelectRowsOperator("lowpeak::select_rows.out", kSelectArguments, are_rows_of_source, select_rows);
constexpr Operator kWriteRowsOperator("lowpeak::write_rows.out", kWriteArguments, is_part, write_rows);

}  // namespace lowpeak
