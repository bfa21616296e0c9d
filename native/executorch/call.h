// One kernel call of an ExecuTorch program: its arguments in the order of the operator's schema, then the
// tensors that it writes, then what it returns.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

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

  // Whether the values at the indices, where one is given, are tensors of the type.
  bool are(ScalarType type, std::initializer_list<size_t> indices) {
    return require(std::all_of(indices.begin(), indices.end(), [&](size_t i) {
      return !given(i) || (values_[i]->isTensor() && tensor(i).scalar_type() == type);
    }));
  }
  bool are_floats(std::initializer_list<size_t> indices) { return are(ScalarType::Float, indices); }

  // Whether the tensors have as many elements as the first of them.
  bool same_size(std::initializer_list<size_t> indices) {
    return require(std::all_of(indices.begin(), indices.end(), [&](size_t i) {
      return tensor(i).numel() == tensor(*indices.begin()).numel();
    }));
  }

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
    if (!are(ScalarType::Long, {index})) return nullptr;
    const Tensor& ids = tensor(index);
    const int64_t* chosen = ids.const_data_ptr<int64_t>();
    const bool inside = std::all_of(chosen, chosen + ids.numel(), [rows](int64_t id) { return id >= 0 && id < rows; });
    return require(inside) ? chosen : nullptr;
  }

  // Whether data, scale, zero_point or None, and the bits are a matrix; they stand at `index` and after.
  bool has_quantized(size_t index) {
    if (!require(values_[index]->isTensor() && values_[index + 1]->isTensor() && values_[index + 3]->isInt())) {
      return false;
    }
    const Tensor &data = tensor(index), &scale = tensor(index + 1);
    const int64_t bits = integer(index + 3);
    const ScalarType kind = scale.scalar_type();
    if (!require((bits == 4 || bits == 8) && data.element_size() == 1 && data.dim() == 2 && scale.dim() == 2 &&
                 (kind == ScalarType::Half || kind == ScalarType::Float))) {
      return false;
    }
    const int64_t cols = data.size(1) * 8 / bits, groups = scale.size(1);
    return require(scale.size(0) == data.size(0) && groups > 0 && cols % (2 * groups) == 0) && are_floats({index + 2}) &&
           (!given(index + 2) || same_size({index + 1, index + 2}));
  }

  // The matrix that `has_quantized` found there.
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
