#include "trainer/optimizer_options.h"

#include <cmath>

namespace lowpeak::trainer {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error("ValueError", message); }

void require_positive(const char* name, double value) {
  if (!(std::isfinite(value) && value > 0)) {
    refuse(std::string(name) + " must be positive, not " + python_float(value));
  }
}

bool is_decay(double value) { return 0 <= value && value < 1; }

}  // namespace

OptimizerOptions OptimizerOptions::from_json(const JsonReader& reader) {
  OptimizerOptions made;
  const std::string algorithm = reader.at("algorithm").text();
  if (algorithm != "adamw" && algorithm != "sgd") {
    refuse("algorithm must be adamw or sgd, not " + python_repr(algorithm));
  }
  made.algorithm = algorithm == "adamw" ? Algorithm::adamw : Algorithm::sgd;
  const std::string schedule = reader.at("schedule").text();
  if (schedule != "constant" && schedule != "cosine") {
    refuse("schedule must be constant or cosine, not " + python_repr(schedule));
  }
  made.schedule = schedule == "constant" ? Schedule::constant : Schedule::cosine;
  made.learning_rate = reader.at("learning_rate").number();
  made.epsilon = reader.at("epsilon").number();
  made.clip_norm = reader.at("clip_norm").optional_number();
  require_positive("learning_rate", made.learning_rate);
  require_positive("epsilon", made.epsilon);
  if (made.clip_norm) require_positive("clip_norm", *made.clip_norm);
  made.weight_decay = reader.at("weight_decay").number();
  if (!(std::isfinite(made.weight_decay) && made.weight_decay >= 0)) {
    refuse("weight_decay must be 0 or more, not " + python_float(made.weight_decay));
  }
  made.momentum = reader.at("momentum").number();
  const auto betas = reader.at("betas").items();
  if (betas.size() == 2) made.beta1 = betas[0].number(), made.beta2 = betas[1].number();
  if (betas.size() != 2 || !is_decay(made.beta1) || !is_decay(made.beta2) || !is_decay(made.momentum)) {
    refuse("betas and momentum must be in [0, 1): (" + python_float(made.beta1) + ", " + python_float(made.beta2) +
           "), " + python_float(made.momentum));
  }
  made.warmup_steps = reader.at("warmup_steps").integer();
  if (made.warmup_steps < 0) refuse("warmup_steps must be 0 or more, not " + std::to_string(made.warmup_steps));
  return made;
}

}  // namespace lowpeak::trainer
