// Errors that a user can meet, under the names that lowpeak_artifact/errors.py has for them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace lowpeak::trainer {

using Numbers = std::map<std::string, std::int64_t>;

class Error : public std::runtime_error {
 public:
  // `kind`: the Python class. `numbers`: the quantities of the message, for machine-readable output.
  Error(std::string kind, const std::string& message, Numbers numbers = {})
      : std::runtime_error(printable(message)), kind(std::move(kind)), numbers(std::move(numbers)) {}

  const std::string kind;
  const Numbers numbers;

 private:
  // what() ends at a zero, which a name in a job may have.
  static std::string printable(std::string message) {
    std::replace(message.begin(), message.end(), '\0', '?');
    return message;
  }
};

inline Error artifact_error(const std::string& message, Numbers numbers = {}) {
  return Error("ArtifactError", message, std::move(numbers));
}

inline Error data_error(const std::string& message, Numbers numbers = {}) {
  return Error("DataError", message, std::move(numbers));
}

inline Error environment_problem(const std::string& message, Numbers numbers = {}) {
  return Error("EnvironmentProblem", message, std::move(numbers));
}

// Of a step that would spoil the adapter.
inline Error not_finite(const std::string& what, std::int64_t step) {
  return data_error(
      what + " at step " + std::to_string(step) + ": train again with a lower learning rate or with clip_norm",
      {{"step", step}});
}

// Of a step after which the adapter, or the optimizer's state, is of no use; no checkpoint has it.
inline Error spoiled(const std::string& tensor, std::int64_t step) {
  return not_finite("the update makes " + tensor + " infinite or NaN", step);
}

}  // namespace lowpeak::trainer
