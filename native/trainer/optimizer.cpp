#include "trainer/optimizer.h"

#include <cmath>

#include "trainer/adamw.h"
#include "trainer/clip.h"
#include "trainer/error.h"
#include "trainer/finite.h"
#include "trainer/schedule.h"
#include "trainer/scratch_file.h"
#include "trainer/sgd.h"

namespace lowpeak::trainer {
Optimizer::Optimizer(const std::vector<TensorView>& parameters, const OptimizerOptions& options,
                     std::int64_t total_steps, const std::string& folder)
    : options_(options), total_steps_(total_steps) {
  std::vector<std::string> parts;
  if (options_.algorithm == Algorithm::adamw) parts = {"exp_avg", "exp_avg_sq"};
  if (options_.algorithm == Algorithm::sgd && options_.momentum > 0) parts = {"momentum_buffer"};
  std::size_t elements = 0;
  for (const TensorView& parameter : parameters) elements += parameter.count * parts.size();
  mapping_ = scratch_file(folder, elements * sizeof(float), "the optimizer's state");
  state_tensors_ = parts.size();
  counters_.assign(options_.algorithm == Algorithm::adamw ? parameters.size() : 0, 0);
  auto* next = reinterpret_cast<float*>(mapping_.data());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const TensorView& parameter = parameters[i];
    if (!counters_.empty()) state_.push_back({"step." + parameter.name, {}, &counters_[i], 1});
    for (const std::string& part : parts) {
      state_.push_back({part + "." + parameter.name, parameter.shape, next, parameter.count});
      next += parameter.count;
    }
  }
}

void Optimizer::update(std::int64_t step, const std::vector<TensorView>& parameters,
                       const std::vector<TensorView>& gradients, const Touched& touched) {
  const double norm = norm_of(gradients, touched);
  if (!std::isfinite(norm)) throw not_finite("the gradient is not finite", step);
  if (options_.clip_norm) clip(gradients, norm, *options_.clip_norm, touched);
  const double rate = learning_rate_at(options_, step, total_steps_);
  const AdamW adamw{rate, options_.beta1, options_.beta2, options_.epsilon, options_.weight_decay};
  const Sgd sgd{rate, options_.momentum, options_.weight_decay};
  auto* state = reinterpret_cast<float*>(mapping_.data());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::size_t count = parameters[i].count;
    read_after(parameters, i);
    read_after(gradients, i);
    float* parameter = parameters[i].data;
    const float* gradient = gradients[i].data;
    const std::size_t used = state_tensors_ * count;
    read_ahead(state, used * sizeof(float));
    if (options_.algorithm == Algorithm::adamw) {
      counters_[i] += 1;
      adamw.update(parameter, gradient, state, state + count, count, static_cast<double>(counters_[i]));
    } else {
      sgd.update(parameter, gradient, options_.momentum > 0 ? state : nullptr, count);
    }
    if (!all_finite(parameter, count)) throw spoiled("adapter." + parameters[i].name, step);
    for (std::size_t part = 0; part < state_tensors_; ++part) {
      if (all_finite(state + part * count, count)) continue;
      throw spoiled("optimizer." + state_name(i, part), step);
    }
    state += used;
    release();
    touched();
  }
}

// `part`: of those of the parameter that are as large as it.
const std::string& Optimizer::state_name(std::size_t parameter, std::size_t part) const {
  const std::size_t counter = counters_.empty() ? 0 : 1;
  return state_[parameter * (counter + state_tensors_) + counter + part].name;
}

}  // namespace lowpeak::trainer
