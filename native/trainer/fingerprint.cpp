#include "trainer/fingerprint.h"

#include "trainer/sha256.h"

namespace lowpeak::trainer {

OptionFields option_fields(const OptimizerOptions& options, std::int64_t accumulate, std::int64_t total_steps) {
  OptionFields fields{
      {"accumulate", std::to_string(accumulate)},
      {"algorithm", options.algorithm == Algorithm::adamw ? "adamw" : "sgd"},
      {"beta1", python_float(options.beta1)},
      {"beta2", python_float(options.beta2)},
      {"clip_norm", options.clip_norm ? python_float(*options.clip_norm) : "none"},
      {"epsilon", python_float(options.epsilon)},
      {"learning_rate", python_float(options.learning_rate)},
      {"momentum", python_float(options.momentum)},
      {"schedule", options.schedule == Schedule::constant ? "constant" : "cosine"},
      {"warmup_steps", std::to_string(options.warmup_steps)},
      {"weight_decay", python_float(options.weight_decay)},
  };
  if (options.schedule != Schedule::constant) fields["total_steps"] = std::to_string(total_steps);
  return fields;
}

OptionFields option_fields(const JsonReader& options) {
  const OptimizerOptions known = OptimizerOptions::from_json(options);
  const bool has_end = known.schedule != Schedule::constant;
  return option_fields(known, options.at("accumulate").integer(), has_end ? options.at("total_steps").integer() : 0);
}

std::string fingerprint_of(const OptionFields& fields) {
  std::string lines;
  for (const auto& [name, value] : fields) lines += name + "=" + value + "\n";
  return sha256_of(lines);
}

}  // namespace lowpeak::trainer
