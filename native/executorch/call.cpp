#include "executorch/call.h"

#include <algorithm>
#include <cstring>

namespace lowpeak {

bool Call::are_sizes(size_t integers, size_t tensor) const {
  const auto given = values_[integers]->tryToIntList();
  const auto sizes = this->tensor(tensor).sizes();
  return given.ok() && std::equal(given->begin(), given->end(), sizes.begin(), sizes.end());
}

bool are_rows(const int64_t* ids, int64_t count, int64_t rows) {
  return std::all_of(ids, ids + count, [rows](int64_t id) { return id >= 0 && id < rows; });
}

bool is_matrix(const Call& call) {
  return call['c'] == call['p'] * 8 / call[kBitsLetter] && call['c'] % (2 * call['g']) == 0;
}

QuantizedMatrix quantized(const Call& call, size_t index) {
  const Tensor& scale = call.tensor(index + 1);
  return {static_cast<const uint8_t*>(call.tensor(index).const_data_ptr()),
          scale.const_data_ptr(),
          call.floats_if_given(index + 2),
          call['r'],
          call['c'],
          call['c'] / call['g'],
          static_cast<int>(call[kBitsLetter]),
          scale.scalar_type() == ScalarType::Half};
}

void start_from(const Tensor& addend, const Tensor& out, Parallel& parallel) {
  const char* from = static_cast<const char*>(addend.const_data_ptr());
  char* to = static_cast<char*>(out.mutable_data_ptr());
  if (from == to) return;
  parallel.run(static_cast<int64_t>(out.nbytes()), [&](int64_t begin, int64_t end, int) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

}  // namespace lowpeak
