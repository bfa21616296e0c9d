#include "trainer/plan_check.h"

#include "trainer/operator_signatures.h"
#include "trainer/plan_values.h"

namespace lowpeak::trainer {
namespace {

// Fields by their number, of schema/program.fbs.
namespace field {
constexpr int kValues = 2, kInputs = 3, kOutputs = 4, kChains = 5, kOperators = 6, kDelegates = 7, kDevices = 9;
constexpr int kKind = 0, kValue = 1;          // of a value or an instruction
constexpr int kInstructions = 2;              // of a chain
constexpr int kOperator = 0, kArguments = 1;  // of a call
constexpr int kOperatorName = 0, kOverload = 1;
}  // namespace field

constexpr std::uint8_t kKernelCall = 1;
constexpr std::size_t kLongestName = 99;

std::string at(std::size_t index) { return "its value " + std::to_string(index); }

class PlanCheck {
 public:
  PlanCheck(const FlatTable& plan, const MethodRecord& method, const ProgramData& data)
      : plan_(plan), method_(method), values_(read_values(plan, method, data)) {}

  void run() {
    if (!plan_.tables(field::kDelegates).empty() || !plan_.tables(field::kDevices).empty()) {
      throw DamagedBuffer("it has parts for other machines than this");
    }
    check_ends();
    read_operators();
    const FlatTables chains = plan_.tables(field::kChains);
    if (chains.size() != 1) throw DamagedBuffer("it has " + std::to_string(chains.size()) + " chains of instructions");
    const FlatTables instructions = chains[0].tables(field::kInstructions);
    for (std::size_t i = 0; i < instructions.size(); ++i) check_instruction(instructions[i], i);
  }

 private:
  const Value& value(std::int64_t index, const char* what) const {
    if (index < 0 || static_cast<std::size_t>(index) >= values_.size()) {
      throw DamagedBuffer(std::string(what) + " is value " + std::to_string(index) + " of " +
                          std::to_string(values_.size()));
    }
    return values_[static_cast<std::size_t>(index)];
  }

  void check_ends() const {
    const auto inputs = plan_.numbers<std::int32_t>(field::kInputs),
               outputs = plan_.numbers<std::int32_t>(field::kOutputs);
    if (inputs.size() != method_.inputs.size() || outputs.size() != method_.outputs) {
      throw DamagedBuffer(method_.name + " takes " + std::to_string(inputs.size()) + " inputs and gives " +
                          std::to_string(outputs.size()) + " outputs, by the manifest " +
                          std::to_string(method_.inputs.size()) + " and " + std::to_string(method_.outputs));
    }
    std::vector<bool> given(values_.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Value& input = value(inputs[i], "an input");
      const TensorRecord& record = method_.inputs[i];
      if (input.kind != kTensor || !(input.given || input.planned) || input.dtype->name != record.dtype ||
          input.shape != record.shape) {
        throw DamagedBuffer("its input " + std::to_string(i) + " is not " + record.name + ", " + record.description());
      }
      given[static_cast<std::size_t>(inputs[i])] = true;
    }
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i].given && !given[i]) throw DamagedBuffer(at(i) + " is a tensor without data");
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Value& output = value(outputs[i], "an output");
      if (output.kind != kTensor || !output.planned) {
        throw DamagedBuffer("its output " + std::to_string(i) + " is no tensor in memory");
      }
    }
  }

  void read_operators() {
    const FlatTables operators = plan_.tables(field::kOperators);
    for (std::size_t i = 0; i < operators.size(); ++i) {
      const FlatTable each = operators[i];
      const std::string_view overload = each.text(field::kOverload);
      std::string name(each.text(field::kOperatorName));
      if (!overload.empty()) name.append(".").append(overload);
      if (name.empty() || name.size() > kLongestName) throw DamagedBuffer("an operator has no name");
      const char* signature = signature_of(name);
      if (signature == nullptr && is_known_namespace(name)) {
        throw DamagedBuffer("it calls " + name + ", which no program of lowpeak's does");
      }
      operators_.push_back({std::move(name), signature});
    }
  }

  void check_instruction(const FlatTable& instruction, std::size_t number) const {
    const FlatTable call = instruction.table(field::kValue);
    if (instruction.number<std::uint8_t>(field::kKind) != kKernelCall || !call.exists()) {
      throw DamagedBuffer("its instruction " + std::to_string(number) + " calls no kernel");
    }
    const std::int32_t chosen = call.number<std::int32_t>(field::kOperator);
    if (chosen < 0 || static_cast<std::size_t>(chosen) >= operators_.size()) {
      throw DamagedBuffer("its instruction " + std::to_string(number) + " calls operator " + std::to_string(chosen));
    }
    const Operator& called = operators_[static_cast<std::size_t>(chosen)];
    const auto arguments = call.numbers<std::int32_t>(field::kArguments);
    for (std::size_t i = 0; i < arguments.size(); ++i) value(arguments[i], "an argument");
    if (!fits(called, arguments)) {
      throw DamagedBuffer("its instruction " + std::to_string(number) + " gives " + called.name +
                          " what it does not take");
    }
  }

  struct Operator {
    std::string name;
    const char* signature;  // null: of a library of the user's
  };

  using Arguments = FlatNumbers<std::int32_t>;

  bool fits(const Operator& called, const Arguments& arguments) const {
    const auto each = [&](std::size_t i) -> const Value& { return values_[static_cast<std::size_t>(arguments[i])]; };
    if (called.signature == nullptr) return ends_as_written(arguments, written_at_end(arguments));
    const std::string_view letters = called.signature;
    if (letters == "*") {
      for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (each(i).kind != kTensor) return false;
      }
      return true;
    }
    if (arguments.size() != letters.size() + 1) return false;
    std::size_t written = 0;
    for (std::size_t i = 0; i < letters.size(); ++i) {
      if (!takes(letters[i], each(i))) return false;
      written += letters[i] == '>';
    }
    return ends_as_written(arguments, written);
  }

  // How many tensors before the last argument it says that are written.
  std::size_t written_at_end(const Arguments& arguments) const {
    if (arguments.empty()) return 0;
    const Value& last = values_[static_cast<std::size_t>(arguments[arguments.size() - 1])];
    return last.kind == kTensorList ? last.items.size() : 1;
  }

  // Whether the last argument repeats the tensors before it, which all lie in memory that may be written.
  bool ends_as_written(const Arguments& arguments, std::size_t written) const {
    if (written == 0 || arguments.size() < written + 1) return false;
    const std::size_t first = arguments.size() - 1 - written;
    const std::int32_t returned = arguments[arguments.size() - 1];
    const Value& last = values_[static_cast<std::size_t>(returned)];
    for (std::size_t i = 0; i < written; ++i) {
      const std::int32_t index = arguments[first + i];
      if (!takes('>', values_[static_cast<std::size_t>(index)])) return false;
      if (written == 1 ? returned != index
                       : last.kind != kTensorList || last.items.size() != written || last.items[i] != index) {
        return false;
      }
    }
    return true;
  }

  static bool takes(char letter, const Value& value) {
    const bool none = value.kind == kNull;
    switch (letter) {
      case 'T': return value.kind == kTensor;
      case 't': return none || value.kind == kTensor;
      case 'w':
      case '>': return value.kind == kTensor && value.planned;
      case 'i': return value.kind == kInt;
      case 'I': return none || value.kind == kInt;
      case 'f': return value.kind == kDouble;
      case 'F': return none || value.kind == kDouble;
      case 'n': return value.kind == kInt || value.kind == kDouble || value.kind == kBool;
      case 'N': return none || value.kind == kInt || value.kind == kDouble || value.kind == kBool;
      case 'b': return value.kind == kBool;
      case 'B': return none || value.kind == kBool;
      case 'y': return value.kind == kInt && dtype_of(value.number) != nullptr;
      case 'Y': return none || (value.kind == kInt && dtype_of(value.number) != nullptr);
      case 'l': return value.kind == kIntList;
      case 'L': return none || value.kind == kIntList;
      case 'D': return none || value.kind == kDoubleList;
      case 'v': return value.kind == kBoolList;
      case 'a': return value.kind == kTensorList;
      case 'o': return value.kind == kOptionalTensorList;
      case 's': return value.kind == kString;
      case 'S': return none || value.kind == kString;
      case 'z': return none;
      default: return false;
    }
  }

  static const DType* dtype_of(std::int64_t number) {
    return number < 0 || number > INT8_MAX ? nullptr : dtype_of_scalar_type(static_cast<int>(number));
  }

  const FlatTable& plan_;
  const MethodRecord& method_;
  const std::vector<Value> values_;
  std::vector<Operator> operators_;
};

}  // namespace

void check_plan(const FlatTable& plan, const MethodRecord& method, const ProgramData& data) {
  PlanCheck(plan, method, data).run();
}

void check_names(const FlatTable& plan, const std::vector<TensorRecord>& parameters) {
  const FlatTables values = plan.tables(field::kValues);
  const auto outputs = plan.numbers<std::int32_t>(field::kOutputs);
  bool same = outputs.size() == parameters.size();
  for (std::size_t i = 0; same && i < outputs.size(); ++i) {
    const std::int32_t index = outputs[i];
    if (index < 0 || static_cast<std::size_t>(index) >= values.size()) throw DamagedBuffer("a name is no value");
    const FlatTable each = values[static_cast<std::size_t>(index)];
    const FlatTable text = each.table(field::kValue);
    same = each.number<std::uint8_t>(field::kKind) == kString && text.exists() && text.text(0) == parameters[i].name;
  }
  if (!same) throw DamagedBuffer("it trains other parameters than the manifest has, or in another order");
}

}  // namespace lowpeak::trainer
