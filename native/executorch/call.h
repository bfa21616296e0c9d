// One kernel call of an ExecuTorch program whose arguments are what the operator declares (operator.h): in the order
// of its schema, then the tensors that it writes.
#pragma once

#include <cstdint>

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/span.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include "executorch/operator.h"
#include "executorch/pool.h"
#include "kernels/linear/linear.h"
#include "kernels/linear/quantized.h"

namespace lowpeak {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

// What the letters of a declaration stand for.
class Numbers {
 public:
  // Whether the letter may stand for the number: it is the first, or the same as before.
  bool hold(char letter, int64_t number) {
    const int place = letter - 'a';
    if (known_ & (1u << place)) return numbers_[place] == number;
    known_ |= 1u << place;
    numbers_[place] = number;
    return true;
  }
  int64_t operator[](char letter) const { return numbers_[letter - 'a']; }

 private:
  uint32_t known_ = 0;
  int64_t numbers_[26];
};

class Call {
 public:
  Call(KernelRuntimeContext& context, Span<EValue*> values, const Numbers& numbers)
      : context_(context), values_(values), numbers_(numbers) {}

  size_t count() const { return values_.size(); }
  // What a letter of the declaration stands for.
  int64_t operator[](char letter) const { return numbers_[letter]; }

  const Tensor& tensor(size_t index) const { return values_[index]->toTensor(); }
  bool given(size_t index) const { return !values_[index]->isNone(); }
  float number(size_t index) const { return static_cast<float>(values_[index]->toDouble()); }

  const float* floats(size_t index) const { return tensor(index).const_data_ptr<float>(); }
  float* written(size_t index) const { return tensor(index).mutable_data_ptr<float>(); }
  const int64_t* ids(size_t index) const { return tensor(index).const_data_ptr<int64_t>(); }

  // Null for None.
  const float* floats_if_given(size_t index) const { return given(index) ? floats(index) : nullptr; }

  // Whether the integers are the sizes of the tensor's axes.
  bool are_sizes(size_t integers, size_t tensor) const;

  void fail(Error error) { context_.fail(error); }

  // Null, and the call failed, if there is no memory.
  void* scratch(int64_t bytes) {
    void* memory = lowpeak::scratch(bytes);
    if (!memory) fail(Error::MemoryAllocationFailed);
    return memory;
  }

 private:
  KernelRuntimeContext& context_;
  Span<EValue*> values_;
  const Numbers& numbers_;
};

// All axes but the last are rows. The tensor has an axis, and none is of size 0.
inline int64_t cols_of(const Tensor& tensor) { return tensor.size(tensor.dim() - 1); }
inline int64_t rows_of(const Tensor& tensor) { return tensor.numel() / cols_of(tensor); }

inline ConstMatrix matrix_of(const Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), rows_of(tensor), cols_of(tensor), cols_of(tensor)};
}
inline Matrix written_matrix(const Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), rows_of(tensor), cols_of(tensor), cols_of(tensor)};
}

// Whether each is the number of one of `rows` rows.
bool are_rows(const int64_t* ids, int64_t count, int64_t rows);

// Whether the columns c are those of the quantized matrix that the call has.
bool is_matrix(const Call& call);

// The quantized matrix whose data, scale, zero_point and bits stand at `index` and after.
QuantizedMatrix quantized(const Call& call, size_t index);

// Puts the operand that a result is added to in its place, unless it is there already.
void start_from(const Tensor& addend, const Tensor& out, Parallel& parallel);

}  // namespace lowpeak
