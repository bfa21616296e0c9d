// The values of a method: what its instructions are given, by their number.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/flat_buffer.h"
#include "trainer/plan_check.h"

namespace lowpeak::trainer {

enum Kind : std::uint8_t {
  kNull = 1,
  kInt,
  kBool,
  kDouble,
  kTensor,
  kString,
  kIntList,
  kDoubleList,
  kBoolList,
  kTensorList,
  kOptionalTensorList
};

struct Value {
  Kind kind;
  std::int64_t number = 0;               // of a whole number
  std::vector<std::int64_t> items = {};  // of lists of values
  // Of a tensor.
  bool planned = false;  // it lies in a buffer, so it may be written
  bool given = false;    // its data comes with the batch
  const DType* dtype = nullptr;
  std::vector<std::int64_t> shape = {};
};

// All of them. Throws DamagedBuffer for a value of no known kind, a list of values that there are not, and a tensor
// that does not lie within its buffer, the constants, or the weights.
std::vector<Value> read_values(const FlatTable& plan, const MethodRecord& method, const ProgramData& data);

}  // namespace lowpeak::trainer
