// Calls of the lowpeak:: kernels: a right one of some sizes, in which the input then changes some arguments. Memory is
// always as large as a tensor says it is, so nothing may be read or written outside of it, whatever the rest is.
#include <fuzzer/FuzzedDataProvider.h>

#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>

#include <executorch/runtime/platform/platform.h>

#include "../../../native/executorch/exports.h"
#include "../../native/kernel_calls.h"

namespace lowpeak::test {
namespace {

constexpr int64_t most_tensor_bytes = 1 << 18;

class FuzzedSizes : public Sizes {
 public:
  explicit FuzzedSizes(FuzzedDataProvider& data) : data_(data) {}
  int32_t operator()(int32_t size) override {
    const int byte = data_.ConsumeIntegral<uint8_t>();
    return byte < 128 ? size : 1 + (byte - 128) % 70;
  }
  // A call asks several times, always for the same.
  bool other() override {
    if (other_ < 0) other_ = data_.ConsumeBool();
    return other_ != 0;
  }
  int64_t below(int64_t end) override { return data_.ConsumeIntegralInRange<int64_t>(0, end - 1); }

 private:
  FuzzedDataProvider& data_;
  int other_ = -1;
};

int64_t any_integer(FuzzedDataProvider& data) {
  switch (data.ConsumeIntegralInRange(0, 3)) {
    case 0: return data.ConsumeIntegralInRange<int64_t>(-2, 70);
    case 1: return std::numeric_limits<int64_t>::max() - data.ConsumeIntegral<uint16_t>();
    case 2: return std::numeric_limits<int64_t>::min() + data.ConsumeIntegral<uint16_t>();
    default: return data.ConsumeIntegral<int64_t>();
  }
}

void change_tensor(FuzzedDataProvider& data, Value& value, size_t count) {
  const auto rank = value.sizes.size();
  const auto axis = [&](size_t end) {
    return value.sizes.begin() + data.ConsumeIntegralInRange<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(end));
  };
  switch (data.ConsumeIntegralInRange(0, 9)) {
    case 0:
      value.type =
          static_cast<ScalarType>(data.ConsumeIntegralInRange<int>(0, static_cast<int>(ScalarType::Undefined) - 1));
      break;
    case 1:
      if (rank > 0) *axis(rank - 1) = data.ConsumeIntegralInRange<int32_t>(0, 300);
      break;
    case 2:
      if (rank < 8) value.sizes.insert(axis(rank), data.ConsumeIntegralInRange<int32_t>(0, 3));
      break;
    case 3:
      if (rank > 0) value.sizes.erase(axis(rank - 1));
      break;
    case 4: value.is_null = true; break;
    case 5: value.is_turned = true; break;
    case 6: value.has_gaps = true; break;
    case 7: value.false_size = data.ConsumeIntegral<int32_t>(); break;
    case 8:
      value.lies_at = data.ConsumeIntegralInRange(-1, static_cast<int>(count) - 1);
      value.shift_bytes = data.ConsumeIntegralInRange(0, 64);
      break;
    default:
      if (!value.elements.empty()) {
        value.elements[data.ConsumeIntegralInRange<size_t>(0, value.elements.size() - 1)] = any_integer(data);
      }
      value.constant = data.PickValueInArray({0.0f, std::nanf(""), INFINITY, -INFINITY, 3e38f, 1e-45f, -1.0f});
  }
}

void change(FuzzedDataProvider& data, Values& values) {
  if (values.empty()) return;
  Value& value = values[data.ConsumeIntegralInRange<size_t>(0, values.size() - 1)];
  switch (data.ConsumeIntegralInRange(0, 7)) {
    case 0: {
      const bool is_out = value.is_out;
      value = Value();
      value.kind = static_cast<Kind>(data.ConsumeIntegralInRange(0, static_cast<int>(Kind::tensors)));
      value.is_out = is_out;
      break;
    }
    case 1: std::swap(value, values[data.ConsumeIntegralInRange<size_t>(0, values.size() - 1)]); break;
    case 2: values.push_back(value); break;
    case 3: values.pop_back(); break;
    default:
      value.integer = any_integer(data);
      value.number = data.ConsumeFloatingPoint<double>();
      value.flag = data.ConsumeBool();
      if (!value.integers.empty()) value.integers.back() = any_integer(data);
      if (value.kind == Kind::tensor) change_tensor(data, value, values.size());
  }
}

bool is_small(const Value& value) {
  double bytes = static_cast<double>(value.element_bytes());
  for (const int32_t size : value.sizes) bytes *= size;
  return bytes <= most_tensor_bytes;
}

// Refusals are the rule here.
bool quiet() {
  const auto emit = [](et_timestamp_t, et_pal_log_level_t, const char*, const char*, size_t, const char*, size_t) {};
  return et::register_pal(et::PalImpl::create(emit, __FILE__));
}

const char* folder() {
  const char* named = std::getenv("TMPDIR");
  return named == nullptr ? "/tmp" : named;
}

void run(const uint8_t* bytes, size_t size) {
  [[maybe_unused]] static const bool is_quiet = quiet();
  FuzzedDataProvider data(bytes, size);
  auto right = right_calls.begin();
  std::advance(right, data.ConsumeIntegralInRange<size_t>(0, right_calls.size() - 1));
  const std::string& name = right->first;
  const auto kernel = et::get_op_function_from_registry(name.c_str());
  if (!kernel.ok()) std::abort();
  FuzzedSizes sizes(data);
  Values values = right->second(sizes);
  for (int left = data.ConsumeIntegralInRange(0, 4); left > 0; --left) change(data, values);
  if (!std::all_of(values.begin(), values.end(), is_small)) return;
  const auto returned =
      data.ConsumeProbability<float>() < 0.9f
          ? Returned::outs
          : static_cast<Returned>(data.ConsumeIntegralInRange(0, static_cast<int>(Returned::one_more)));
  const bool uses_file = name.find("load") != std::string::npos || name.find("store") != std::string::npos;
  Session* const session = lowpeak_session_open();
  if (uses_file && lowpeak_session_offload_open(session, folder(), offload_bytes) != nullptr) std::abort();
  Materialized call(values, returned);
  lowpeak_session_enter(session);
  (void)call.run(*kernel);
  lowpeak_session_enter(nullptr);
  lowpeak_session_close(session);
}

}  // namespace
}  // namespace lowpeak::test

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lowpeak::test::run(data, size);
  return 0;
}
