// One kernel call of an ExecuTorch program: its arguments in the order of the operator's schema, then the
// tensors that it writes, then what it returns.
#pragma once

#include <algorithm>
#include <cstdint>

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/span.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include "linear.h"
#include "pool.h"
#include "quantized.h"

namespace lowpeak {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

class Call {
 public:
  Call(KernelRuntimeContext& context, Span<EValue*> values) : context_(context), values_(values) {}

  // Whether all holds; the runtime is told that the call failed if not.
  bool require(bool holds) {
    if (!holds) context_.fail(Error::InvalidArgument);
    return holds;
  }

  // Whether the program gives as many values as the operator takes.
  bool takes(size_t count) { return require(values_.size() == count); }

  const Tensor& tensor(size_t index) const { return values_[index]->toTensor(); }
  bool given(size_t index) const { return !values_[index]->isNone(); }
  int64_t integer(size_t index) const { return values_[index]->toInt(); }
  float number(size_t index) const { return static_cast<float>(values_[index]->toDouble()); }
  bool flag(size_t index) const { return values_[index]->toBool(); }

  const float* floats(size_t index) const { return tensor(index).const_data_ptr<float>(); }
  float* written(size_t index) const { return tensor(index).mutable_data_ptr<float>(); }

  // Null for None.
  const float* floats_if_given(size_t index) const { return given(index) ? floats(index) : nullptr; }

  // Null, and the call failed, if there is no memory.
  void* scratch(int64_t bytes) {
    void* memory = lowpeak::scratch(bytes);
    if (!memory) context_.fail(Error::MemoryAllocationFailed);
    return memory;
  }

  // Numbers of rows of something that has `rows`. Null, and the call failed, if one is outside of it.
  const int64_t* row_ids(size_t index, int64_t rows) {
    const Tensor& ids = tensor(index);
    const int64_t* chosen = ids.const_data_ptr<int64_t>();
    const bool inside = std::all_of(chosen, chosen + ids.numel(), [rows](int64_t id) { return id >= 0 && id < rows; });
    return require(inside) ? chosen : nullptr;
  }

  // data, scale, zero_point or None, and the bits, which stand at `index` and after.
  QuantizedMatrix quantized(size_t index) const {
    const Tensor& data = tensor(index);
    const Tensor& scale = tensor(index + 1);
    const int bits = static_cast<int>(integer(index + 3));
    const int64_t rows = data.size(0), cols = data.size(1) * 8 / bits;
    return {static_cast<const uint8_t*>(data.const_data_ptr()), scale.const_data_ptr(), floats_if_given(index + 2),
            rows, cols, cols / scale.size(1), bits, scale.scalar_type() == ScalarType::Half};
  }

 private:
  KernelRuntimeContext& context_;
  Span<EValue*> values_;
};

// All axes but the last are rows.
inline int64_t cols_of(const Tensor& tensor) { return tensor.size(tensor.dim() - 1); }
inline int64_t rows_of(const Tensor& tensor) { return cols_of(tensor) ? tensor.numel() / cols_of(tensor) : 0; }

inline ConstMatrix matrix_of(const Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), rows_of(tensor), cols_of(tensor), cols_of(tensor)};
}
inline Matrix written_matrix(const Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), rows_of(tensor), cols_of(tensor), cols_of(tensor)};
}

// Puts the operand that a result is added to in its place, unless it is there already.
void start_from(const Tensor& addend, const Tensor& out, Parallel& parallel);

}  // namespace lowpeak
