// An ExecuTorch program before the runtime is given it: that it is one of those that lowpeak writes, whose kernels are
// called with what they take, on memory that there is.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/files.h"
#include "trainer/manifest.h"

namespace lowpeak::trainer {

// What the manifest says of a method.
struct MethodRecord {
  std::string name;
  std::vector<TensorRecord> inputs;
  std::size_t outputs;
  // The most bytes of its buffers: of the arena, and of what lies outside.
  std::int64_t arena_bytes, state_bytes;
};

// Throws ArtifactError naming the file unless every method is there as the manifest has it, and safe to run:
//
//     no instruction but calls of kernels, so each runs once; no delegates
//     arguments of the kinds that the kernel takes; what it writes lies in the method's buffers
//     every tensor within its buffer, the constants of the file, or the weights, by name, type and shape
//     the names that the program itself gives to what it trains are `parameters`, if there are such
//
// A program of 50,000 calls takes some milliseconds.
void check_program(const std::string& path, const Mapping& file, const std::vector<MethodRecord>& methods,
                   const std::vector<TensorRecord>& parameters, const std::vector<WeightRecord>& weights);

}  // namespace lowpeak::trainer
