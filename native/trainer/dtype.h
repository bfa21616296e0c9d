// Element types, by torch's names (`float32`) and those of safetensors files (`F32`).
#pragma once

#include <cstddef>
#include <string>

namespace lowpeak::trainer {

struct DType {
  const char* name;
  const char* safetensors;
  std::size_t bytes;
};

inline constexpr DType kDTypes[] = {
    {"float64", "F64", 8}, {"float32", "F32", 4}, {"float16", "F16", 2}, {"bfloat16", "BF16", 2},
    {"int64", "I64", 8},   {"int32", "I32", 4},   {"int16", "I16", 2},   {"int8", "I8", 1},
    {"uint8", "U8", 1},    {"bool", "BOOL", 1},
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

}  // namespace lowpeak::trainer
