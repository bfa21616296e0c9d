// What later steps of a run depend on beside artifact, data and seed: its options, and their fingerprint, as
// lowpeak_runtime/train/fingerprint.py defines them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "trainer/json.h"
#include "trainer/optimizer_options.h"

namespace lowpeak::trainer {

using OptionFields = std::map<std::string, std::string>;

// `total_steps` counts only where the schedule has an end.
OptionFields option_fields(const OptimizerOptions& options, std::int64_t accumulate, std::int64_t total_steps);

// Of an object that has the fields of all three. Throws an Error for what are no options.
OptionFields option_fields(const JsonReader& options);

// The SHA-256 of a line `name=value` for each field, by name: 64 hexadecimal digits.
std::string fingerprint_of(const OptionFields& fields);

}  // namespace lowpeak::trainer
