// One method of a program: its values, then its instructions.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "trainer/flat_buffer.h"
#include "trainer/program_check.h"

namespace lowpeak::trainer {

constexpr int kPlanName = 0;  // the field of the schema
constexpr std::uint64_t kConstantAlignment = 16;

// Data in a segment of the file: where each begins, by its index, and where the segment ends.
struct Stored {
  std::vector<std::uint64_t> offsets;
  std::uint64_t end = 0;
};

// What tensors of all methods refer to.
struct ProgramData {
  Stored constants, initial;
  std::unordered_map<std::string_view, const TensorRecord*> weights;
};

// Throws DamagedBuffer.
void check_plan(const FlatTable& plan, const MethodRecord& method, const ProgramData& data);

// Of the method that gives names: they are those, in that order. Throws DamagedBuffer.
void check_names(const FlatTable& plan, const std::vector<TensorRecord>& parameters);

}  // namespace lowpeak::trainer
