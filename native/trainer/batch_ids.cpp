#include "trainer/batch_ids.h"

#include <algorithm>

#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

template <typename Number>
void require(const TensorRecord& record, const IdRange& range, const void* data) {
  const auto* first = static_cast<const Number*>(data);
  const auto* end = first + record.elements();
  const auto* odd = std::find_if(first, end, [&range](Number id) {
    return (id < range.least || id >= range.rows) && !(range.ignored && id == *range.ignored);
  });
  if (odd == end) return;
  throw data_error(record.name + "[" + std::to_string(odd - first) + "] is " + std::to_string(*odd) +
                       ", but there are " + std::to_string(range.rows) + " rows for its values: they must be from " +
                       std::to_string(range.least) + " to " + std::to_string(range.rows - 1),
                   {{"id", *odd}, {"rows", range.rows}});
}

}  // namespace

void require_ids(const Bucket& bucket, const std::vector<const void*>& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!bucket.ids[i]) continue;
    if (bucket.inputs[i].dtype == "int64") require<std::int64_t>(bucket.inputs[i], *bucket.ids[i], inputs[i]);
    if (bucket.inputs[i].dtype == "int32") require<std::int32_t>(bucket.inputs[i], *bucket.ids[i], inputs[i]);
  }
}

}  // namespace lowpeak::trainer
