#include "program.h"

#include "error.h"

namespace lowpeak::trainer {
namespace {

constexpr char kMethod[] = "forward";

}  // namespace

Program::Program(const std::string& program_path, const std::string& weights_path,
                 const std::vector<TensorRecord>& inputs, const std::vector<TensorRecord>& parameters,
                 const std::string& work)
    : methods_(program_path, weights_path, {kMethod}, Methods::State::file, work) {
  const std::size_t count = parameters.size(), outputs = 1 + 2 * count;
  if (methods_.outputs(0) != outputs) {
    throw artifact_error(program_path + " has " + std::to_string(methods_.outputs(0)) + " outputs, for " +
                         std::to_string(count) + " parameters it should have " + std::to_string(outputs));
  }
  methods_.declare_inputs(0, inputs);
  loss_ = methods_.output(0, 0, {"the loss", {}, "float32"}).data;
  for (std::size_t i = 0; i < count; ++i) {
    gradients_.push_back(methods_.output(0, 1 + i, parameters[i]));
    parameters_.push_back(methods_.output(0, 1 + count + i, parameters[i]));
  }
}

void Program::release() const { methods_.release(); }

std::optional<float> Program::step(const std::vector<const void*>& inputs, const Interrupted& interrupted) {
  if (!methods_.run(0, inputs, interrupted)) return std::nullopt;
  return *loss_;
}

}  // namespace lowpeak::trainer
