// Element types, by torch's names (`float32`), those of safetensors files (`F32`) and the numbers of ExecuTorch's.
#pragma once

#include <cstddef>
#include <string>

namespace lowpeak::trainer {

struct DType {
  const char* name;
  const char* safetensors;
  std::size_t bytes;
  int scalar_type;
};

inline constexpr DType kDTypes[] = {
    {"float64", "F64", 8, 7}, {"float32", "F32", 4, 6}, {"float16", "F16", 2, 5}, {"bfloat16", "BF16", 2, 15},
    {"int64", "I64", 8, 4},   {"int32", "I32", 4, 3},   {"int16", "I16", 2, 2},   {"int8", "I8", 1, 1},
    {"uint8", "U8", 1, 0},    {"bool", "BOOL", 1, 11},
};

inline const DType* dtype_named(const std::string& name) {
  for (const DType& dtype : kDTypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

inline const DType* dtype_in_safetensors(const std::string& name) {
  for (const DType& dtype : kDTypes) {
    if (name == dtype.safetensors) return &dtype;
  }
  return nullptr;
}

inline const DType* dtype_of_scalar_type(int number) {
  for (const DType& dtype : kDTypes) {
    if (number == dtype.scalar_type) return &dtype;
  }
  return nullptr;
}

}  // namespace lowpeak::trainer
