#include "trainer/methods.h"

#include <algorithm>
#include <optional>

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/flat_tensor/flat_tensor_data_map.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/executor/program.h>

#include "trainer/files.h"
#include "trainer/json.h"
#include "trainer/scratch_file.h"
#include "trainer/weights_check.h"

namespace lowpeak::trainer {
namespace {

namespace et = executorch::runtime;
using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;
using executorch::extension::BufferDataLoader;
using executorch::extension::FlatTensorDataMap;
using executorch::extension::MallocMemoryAllocator;

// The buffers of a method: the arena, and what lies outside of it if anything does.
constexpr std::size_t kState = 1;

void require(et::Error error, const std::string& doing, const RuntimeLog& log) {
  if (error == et::Error::Ok) return;
  if (error == et::Error::OperatorMissing) {
    throw environment_problem("ExecuTorch " + doing +
                              ": it calls kernels that are not loaded; give the library that "
                              "has them, lowpeak's or your own, with --ops-library");
  }
  throw artifact_error("ExecuTorch " + doing + ": " + et::to_string(error) + log.said());
}

template <typename T>
T taken(et::Result<T> result, const std::string& doing, const RuntimeLog& log) {
  require(result.error(), doing, log);
  return std::move(result.get());
}

Mapping mapped(const std::string& path, const std::string& doing) {
  try {
    return Mapping::of_file(path);
  } catch (const SystemError& error) {
    throw artifact_error(doing + ": " + path + " cannot be mapped: " + error.what());
  }
}

ScalarType scalar_type(const std::string& dtype) {
  static const std::pair<const char*, ScalarType> kTypes[] = {
      {"float64", ScalarType::Double},    {"float32", ScalarType::Float}, {"float16", ScalarType::Half},
      {"bfloat16", ScalarType::BFloat16}, {"int64", ScalarType::Long},    {"int32", ScalarType::Int},
      {"int16", ScalarType::Short},       {"int8", ScalarType::Char},     {"uint8", ScalarType::Byte},
      {"bool", ScalarType::Bool}};
  for (const auto& [name, type] : kTypes) {
    if (dtype == name) return type;
  }
  throw artifact_error("the program's inputs have the type " + dtype + ", which this version does not know");
}

// A graph input: its data is given at every step.
struct Input {
  ScalarType type;
  std::vector<TensorImpl::SizesType> sizes;
  std::vector<TensorImpl::DimOrderType> order;
  std::vector<TensorImpl::StridesType> strides;

  explicit Input(const TensorRecord& record) : type(scalar_type(record.dtype)) {
    const std::size_t rank = record.shape.size();
    strides.assign(rank, 1);
    for (std::size_t i = 0; i < rank; ++i) {
      sizes.push_back(static_cast<TensorImpl::SizesType>(record.shape[i]));
      order.push_back(static_cast<TensorImpl::DimOrderType>(i));
    }
    for (std::size_t i = rank; i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  }
};

// Marked as experimental, which the compiler calls deprecated.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
et::Error instruction(et::Method& method) { return method.step(); }
et::Error from_the_start(et::Method& method) { return method.reset_execution(); }
#pragma GCC diagnostic pop

}  // namespace

struct Methods::One {
  One(const std::string& doing, const RuntimeLog& log, const et::Program& program, const std::string& name,
      const std::vector<Mapping>& buffers, const std::vector<std::size_t>& sizes, const FlatTensorDataMap& weights)
      : spans(spans_of(buffers, sizes)),
        planned({spans.data(), spans.size()}),
        memory(&method_allocator, &planned, &temporary_allocator),
        method(taken(program.load_method(name.c_str(), &memory, nullptr, &weights), doing, log)) {}

  static std::vector<et::Span<std::uint8_t>> spans_of(const std::vector<Mapping>& buffers,
                                                      const std::vector<std::size_t>& sizes) {
    std::vector<et::Span<std::uint8_t>> made;
    for (std::size_t i = 0; i < sizes.size(); ++i) made.emplace_back(buffers[i].data(), sizes[i]);
    return made;
  }

  std::vector<et::Span<std::uint8_t>> spans;
  et::HierarchicalAllocator planned;
  MallocMemoryAllocator method_allocator, temporary_allocator;
  et::MemoryManager memory;
  et::Method method;
  std::vector<Input> inputs;
};

struct Methods::Loaded {
  Loaded(const std::string& program_path, const std::string& weights_path, const Manifest& manifest,
         const std::vector<MethodRecord>& records, State state, const std::string& work, const RuntimeLog& log,
         const KernelSession& session)
      : doing("cannot load " + program_path),
        log(log),
        program_mapping(checked(mapped(program_path, doing),
                                [&](const Mapping& file) {
                                  check_program(program_path, file, records, manifest.parameters, manifest.weights);
                                })),
        program_file(program_mapping.data(), program_mapping.size()),
        weights_mapping(checked(mapped(weights_path, doing),
                                [&](const Mapping& file) { check_weights(weights_path, file, manifest.weights); })),
        weights_file(weights_mapping.data(), weights_mapping.size()),
        weights(taken(FlatTensorDataMap::load(&weights_file), doing, log)),
        program(taken(et::Program::load(&program_file, et::Program::Verification::InternalConsistency), doing, log)) {
    std::vector<std::vector<std::size_t>> sizes;
    for (const MethodRecord& each : records) sizes.push_back(buffer_sizes(each.name));
    make_buffers(sizes, state, work);
    for (std::size_t i = 0; i < records.size(); ++i) {
      methods.push_back(std::make_unique<One>(doing, log, program, records[i].name, buffers, sizes[i], weights));
      for (const TensorRecord& input : records[i].inputs) methods.back()->inputs.emplace_back(input);
    }
    // Its first values are copied; what of the table is asked for again comes back.
    program_mapping.release();
    paged_weights.emplace(session, weights_mapping);
    if (buffers.size() > kState && state == State::file) paged_state.emplace(session, buffers[kState]);
  }

  std::vector<std::size_t> buffer_sizes(const std::string& name) {
    const et::MethodMeta meta = taken(program.method_meta(name.c_str()), doing, log);
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
      sizes.push_back(static_cast<std::size_t>(taken(meta.memory_planned_buffer_size(i), doing, log)));
    }
    return sizes;
  }

  // Each as large as the method needs it that needs most.
  void make_buffers(const std::vector<std::vector<std::size_t>>& sizes, State state, const std::string& work) {
    std::size_t count = 0;
    for (const auto& each : sizes) count = std::max(count, each.size());
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t size = 0;
      for (const auto& each : sizes) size = std::max(size, i < each.size() ? each[i] : 0);
      if (i == kState && state == State::file) {
        buffers.push_back(scratch_file(work, size, "the adapter and its gradients"));
        continue;
      }
      try {
        buffers.push_back(Mapping::anonymous(size));
      } catch (const SystemError& error) {
        const std::string bytes = std::to_string(size), what = i == kState ? "adapter and caches" : "the arena";
        throw environment_problem(what + " of " + bytes + " bytes cannot be allocated: " + error.what(),
                                  {{"bytes", static_cast<std::int64_t>(size)}});
      }
    }
  }

  template <typename Check>
  static Mapping checked(Mapping file, const Check& check) {
    check(file);
    return file;
  }

  std::string doing;
  const RuntimeLog& log;
  Mapping program_mapping;
  BufferDataLoader program_file;
  Mapping weights_mapping;
  BufferDataLoader weights_file;
  FlatTensorDataMap weights;
  et::Program program;
  std::vector<Mapping> buffers;
  std::vector<std::unique_ptr<One>> methods;
  std::optional<Paged> paged_weights;
  std::optional<Paged> paged_state;
};

Methods::Methods(const std::string& program_path, const std::string& weights_path, const Manifest& manifest,
                 const std::vector<MethodRecord>& records, State state, const std::string& work,
                 const KernelSession& session)
    : program_path_(program_path), session_(session) {
  const RuntimeLog::Listening listening(log_);
  loaded_ = std::make_unique<Loaded>(program_path, weights_path, manifest, records, state, work, log_, session);
  release();
}

Methods::~Methods() = default;

TensorView Methods::output(std::size_t method, std::size_t index, const TensorRecord& record) const {
  const et::EValue& value = loaded_->methods[method]->method.get_output(index);
  if (!value.isTensor()) throw artifact_error(program_path_ + " has no tensor for " + record.name);
  const Tensor tensor = value.toTensor();
  const std::vector<std::int64_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  if (tensor.scalar_type() != ScalarType::Float || record.dtype != "float32") {
    throw artifact_error("the trained tensor " + record.name + " is " + record.dtype +
                         ": this trainer updates float32 only");
  }
  if (shape != record.shape) {
    throw artifact_error("the program has " + record.name + " as float32 " + python_list(shape) + ", the manifest as " +
                         record.description());
  }
  return {record.name, shape, tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

bool Methods::run(std::size_t method, const std::vector<const void*>& inputs, const Interrupted& interrupted) {
  const RuntimeLog::Listening listening(log_);
  const InSession in_session(session_);
  One& one = *loaded_->methods[method];
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Input& input = one.inputs[i];
    // The runtime only reads it.
    TensorImpl tensor(input.type, static_cast<ssize_t>(input.sizes.size()), input.sizes.data(),
                      const_cast<void*>(inputs[i]), input.order.data(), input.strides.data());
    require(one.method.set_input(et::EValue(Tensor(&tensor)), i), "failed in the step", log_);
  }
  et::Error error = et::Error::Ok;
  while ((error = instruction(one.method)) == et::Error::Ok) {
    if (interrupted()) return false;
  }
  if (error != et::Error::EndOfMethod) {
    const std::string failure = session_.offload_failure();
    if (!failure.empty()) throw environment_problem("values could not be offloaded: " + failure);
    require(error, "failed in the step", log_);
  }
  require(from_the_start(one.method), "failed in the step", log_);
  return true;
}

void Methods::release() const {
  if (loaded_->paged_state) loaded_->buffers[kState].release();
}

void Methods::read_weights_ahead() const {
  read_ahead(loaded_->weights_mapping.data(), loaded_->weights_mapping.size());
}

}  // namespace lowpeak::trainer
