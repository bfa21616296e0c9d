// Arguments of kernel calls as plain values that can be changed, and the memory and EValues that a call has of them.
// Every tensor has a block of its own of just its size, so that a sanitizer sees a step out of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <executorch/runtime/core/evalue.h>
#include <executorch/runtime/core/exec_aten/util/scalar_type_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>
#include <executorch/runtime/kernel/operator_registry.h>

namespace lowpeak::test {

namespace et = executorch::runtime;
using et::EValue;
using et::etensor::ScalarType;
using et::etensor::Tensor;
using et::etensor::TensorImpl;

enum class Kind { none, tensor, integer, number, flag, integers, text, tensors };

constexpr int64_t most_bytes = 1 << 20;

// One argument, and which other values of it are as right as this one.
struct Value {
  Kind kind = Kind::none;

  // Of a tensor. int64 tensors hold `elements`; the bytes of others are made up, floats small.
  ScalarType type = ScalarType::Float;
  std::vector<int32_t> sizes;
  std::vector<int64_t> elements;
  float constant = 1;  // if not 1, what each float is
  bool is_out = false;
  bool is_changed = false;       // an operand that the kernel writes to
  bool is_filled_later = false;  // by another thread
  bool is_null = false;
  bool is_turned = false;   // its order of axes is the reverse
  bool has_gaps = false;    // its strides say so
  int32_t false_size = 0;   // if not 0, what axis 0 says it is, whatever memory there is
  int lies_at = -1;         // argument in whose memory it lies,
  int64_t shift_bytes = 0;  // so far from its beginning, or from that of its own

  int64_t integer = 0;
  double number = 0;
  bool flag = false;
  std::vector<int64_t> integers;

  std::set<Kind> right_kinds;
  std::set<ScalarType> right_types;
  std::set<int> right_places;  // arguments in whose memory it may lie
  bool any_type_is_right = false;
  bool any_sizes_are_right = false;  // none of them 0
  bool any_flag_is_right = false;
  bool any_number_is_right = false;
  bool any_amount_is_right = false;                                                         // number of at least 0
  std::function<bool(size_t, int32_t)> right_size = [](size_t, int32_t) { return false; };  // of an axis
  std::function<bool(int64_t)> right_integer = [](int64_t) { return false; };  // or element of an int64 tensor

  int64_t element_bytes() const { return static_cast<int64_t>(et::elementSize(type)); }
  // As many as there is memory for: of a tensor that is larger than any right one there is a part.
  int64_t count() const {
    int64_t result = 1;
    for (int64_t size : sizes) result = std::min(result * size, most_bytes / element_bytes());
    return result;
  }
  int64_t bytes() const { return count() * element_bytes(); }

  Value or_none() const {
    return with([](Value& it) { it.right_kinds.insert(Kind::none); });
  }
  Value at(std::set<int> places) const {
    return with([&](Value& it) { it.right_places = std::move(places); });
  }
  Value changed() const {
    return with([](Value& it) { it.is_changed = true; });
  }
  Value later() const {
    return with([](Value& it) { it.is_filled_later = true; });
  }
  Value of_any_type() const {
    return with([](Value& it) { it.any_type_is_right = true; });
  }
  Value of_any_sizes() const {
    return with([](Value& it) { it.any_sizes_are_right = true; });
  }
  Value or_any() const {
    return with([](Value& it) { it.any_flag_is_right = it.any_number_is_right = it.any_amount_is_right = true; });
  }
  Value or_any_amount() const {
    return with([](Value& it) { it.any_amount_is_right = true; });
  }
  Value or_type(ScalarType other) const {
    return with([&](Value& it) { it.right_types.insert(other); });
  }
  Value sized(std::function<bool(size_t, int32_t)> is_right) const {
    return with([&](Value& it) { it.right_size = std::move(is_right); });
  }
  Value where(std::function<bool(int64_t)> is_right) const {
    return with([&](Value& it) { it.right_integer = std::move(is_right); });
  }

 private:
  template <typename Change>
  Value with(const Change& change) const {
    Value changed = *this;
    change(changed);
    return changed;
  }
};

inline Value tensor(ScalarType type, std::vector<int32_t> sizes) {
  Value value;
  value.kind = Kind::tensor;
  value.type = type;
  value.sizes = std::move(sizes);
  return value;
}
inline Value floats(std::vector<int32_t> sizes) { return tensor(ScalarType::Float, std::move(sizes)); }
inline Value ids(std::vector<int32_t> sizes, std::vector<int64_t> elements) {
  Value value = tensor(ScalarType::Long, std::move(sizes));
  value.elements = std::move(elements);
  return value;
}
inline Value out(Value value) {
  value.is_out = true;
  return value;
}
inline Value integer(int64_t number) {
  Value value;
  value.kind = Kind::integer;
  value.integer = number;
  return value;
}
inline Value number(double number) {
  Value value;
  value.kind = Kind::number;
  value.number = number;
  return value;
}
inline Value flag(bool flag) {
  Value value;
  value.kind = Kind::flag;
  value.flag = flag;
  return value;
}
inline Value integers(std::vector<int64_t> numbers) {
  Value value;
  value.kind = Kind::integers;
  value.integers = std::move(numbers);
  return value;
}

// What stands after the arguments.
enum class Returned { outs, nothing, number, another_tensor, turned_list, short_list, no_argument, one_more };

using Values = std::vector<Value>;

// Memory and EValues of a call.
class Materialized {
 public:
  explicit Materialized(const Values& values, Returned returned = Returned::outs) {
    const size_t count = values.size();
    blocks_.resize(count);
    memory_.assign(count, nullptr);
    for (size_t i = 0; i < count; ++i) {
      if (values[i].kind == Kind::tensor && !is_guest(values, i)) place(values, i);
    }
    for (size_t i = 0; i < count; ++i) {
      if (values[i].kind == Kind::tensor && is_guest(values, i)) {
        memory_[i] = memory_[static_cast<size_t>(values[i].lies_at)] + values[i].shift_bytes;
      }
    }
    for (size_t i = 0; i < count; ++i) {
      if (values[i].kind == Kind::tensor) fill(values[i], memory_[i]);
    }
    for (size_t i = 0; i < count; ++i) given_.push_back(made(values[i], memory_[i]));
    for (EValue& value : given_) pointers_.push_back(&value);
    give_returned(values, returned);
  }

  et::Error run(et::OpFunction kernel) {
    et::KernelRuntimeContext context;
    kernel(context, {pointers_.data(), pointers_.size()});
    return context.failure_state();
  }

  // The bytes of all that is written, one after the other.
  std::string written(const Values& values) const {
    std::string bytes;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].kind != Kind::tensor || !values[i].is_out || values[i].is_filled_later || !memory_[i]) continue;
      bytes.append(memory_[i], static_cast<size_t>(values[i].bytes()));
    }
    return bytes;
  }

 private:
  struct Shape {
    std::vector<int32_t> sizes, strides;
    std::vector<uint8_t> order;
  };
  template <typename Item>
  struct List {
    std::vector<EValue*> wrapped;
    std::unique_ptr<char[]> unwrapped;
    et::BoxedEvalueList<Item> list;
  };

  static bool is_guest(const Values& values, size_t index) {
    const int number = values[index].lies_at;
    if (number < 0 || number == static_cast<int>(index) || number >= static_cast<int>(values.size())) return false;
    const Value& host = values[static_cast<size_t>(number)];
    return host.kind == Kind::tensor && host.lies_at < 0 && !host.is_null;
  }

  // With room for those that lie at it.
  void place(const Values& values, size_t index) {
    const Value& value = values[index];
    if (value.is_null) return;
    int64_t bytes = value.shift_bytes + value.bytes();
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].kind == Kind::tensor && is_guest(values, i) && values[i].lies_at == static_cast<int>(index)) {
        bytes = std::max(bytes, value.shift_bytes + values[i].shift_bytes + values[i].bytes());
      }
    }
    blocks_[index].reset(static_cast<char*>(std::malloc(static_cast<size_t>(std::max<int64_t>(bytes, 1)))));
    memory_[index] = blocks_[index].get() + value.shift_bytes;
  }

  static void fill(const Value& value, char* memory) {
    if (memory == nullptr || value.is_null) return;
    const int64_t count = value.count();
    if (value.is_out) {
      std::memset(memory, 0xA5, static_cast<size_t>(value.bytes()));
    } else if (!value.elements.empty() && value.type == ScalarType::Long) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t element = value.elements[static_cast<size_t>(i) % value.elements.size()];
        std::memcpy(memory + i * 8, &element, 8);
      }
    } else if (value.type == ScalarType::Float) {
      for (int64_t i = 0; i < count; ++i) {
        const float varied = static_cast<float>((i * 37 + 11) % 101) / 64.0f - 0.7f;
        const float element = value.constant == 1 ? varied : value.constant;
        std::memcpy(memory + i * 4, &element, 4);
      }
    } else {
      for (int64_t i = 0; i < value.bytes(); ++i) memory[i] = static_cast<char>((i * 29 + 7) % 59);
    }
  }

  EValue made(const Value& value, char* memory) {
    switch (value.kind) {
      case Kind::none: return EValue();
      case Kind::tensor: return EValue(Tensor(made_tensor(value, memory)));
      case Kind::integer: return EValue(value.integer);
      case Kind::number: return EValue(value.number);
      case Kind::flag: return EValue(value.flag);
      case Kind::integers: return integer_list(value.integers);
      case Kind::text: return EValue(&text_);
      case Kind::tensors:
        return tensor_list({made_value(EValue(Tensor(made_tensor(tensor(ScalarType::Float, {}), scalar_))))});
    }
    std::abort();
  }

  TensorImpl* made_tensor(const Value& value, char* memory) {
    shapes_.emplace_back();
    Shape& shape = shapes_.back();
    shape.sizes = value.sizes;
    const size_t rank = value.sizes.size();
    shape.strides.resize(rank);
    uint32_t stride = 1;
    for (size_t i = rank; i-- > 0;) {
      shape.order.insert(shape.order.begin(), static_cast<uint8_t>(value.is_turned ? rank - 1 - i : i));
      shape.strides[i] = static_cast<int32_t>(value.has_gaps ? 2 * stride : stride);
      stride *= static_cast<uint32_t>(value.sizes[i]);
    }
    tensors_.push_back(std::make_unique<TensorImpl>(value.type, static_cast<ssize_t>(rank), shape.sizes.data(),
                                                    value.is_null ? nullptr : memory, shape.order.data(),
                                                    shape.strides.data()));
    // The runtime makes no tensor with a size below 0.
    if (value.false_size != 0 && rank > 0) shape.sizes[0] = value.false_size;
    return tensors_.back().get();
  }

  EValue* made_value(EValue value) {
    further_.push_back(std::move(value));
    return &further_.back();
  }

  EValue integer_list(const std::vector<int64_t>& numbers) {
    integer_lists_.emplace_back();
    auto& made = integer_lists_.back();
    for (int64_t number : numbers) made.wrapped.push_back(made_value(EValue(number)));
    box(made);
    return EValue(&made.list);
  }

  EValue tensor_list(std::vector<EValue*> tensors) {
    tensor_lists_.emplace_back();
    auto& made = tensor_lists_.back();
    made.wrapped = std::move(tensors);
    box(made);
    return EValue(&made.list);
  }

  template <typename Item>
  static void box(List<Item>& made) {
    made.unwrapped.reset(new char[(made.wrapped.size() + 1) * sizeof(Item)]());
    made.wrapped.reserve(1);  // a place, also of no value
    made.list = et::BoxedEvalueList<Item>(made.wrapped.data(), reinterpret_cast<Item*>(made.unwrapped.get()),
                                          static_cast<int>(made.wrapped.size()));
  }

  void give_returned(const Values& values, Returned returned) {
    std::vector<EValue*> outs;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].is_out) outs.push_back(&given_[i]);
    }
    if (outs.empty()) return;  // returns nothing
    switch (returned) {
      case Returned::outs:
      case Returned::one_more:
        pointers_.push_back(outs.size() == 1 ? outs[0] : made_value(tensor_list(outs)));
        if (returned == Returned::one_more) pointers_.push_back(outs[0]);
        break;
      case Returned::nothing: pointers_.push_back(made_value(EValue())); break;
      case Returned::number: pointers_.push_back(made_value(EValue(int64_t{1}))); break;
      case Returned::another_tensor:
        pointers_.push_back(made_value(EValue(Tensor(made_tensor(tensor(ScalarType::Float, {}), scalar_)))));
        break;
      case Returned::turned_list:
        std::reverse(outs.begin(), outs.end());
        if (outs.size() == 1) outs.clear();
        pointers_.push_back(made_value(tensor_list(outs)));
        break;
      case Returned::short_list:
        outs.pop_back();
        pointers_.push_back(made_value(tensor_list(outs)));
        break;
      case Returned::no_argument: break;
    }
  }

  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::vector<std::unique_ptr<char, Free>> blocks_;
  std::vector<char*> memory_;
  char scalar_[8] = {};
  et::ArrayRef<char> text_{"text", 4};
  std::deque<Shape> shapes_;
  std::vector<std::unique_ptr<TensorImpl>> tensors_;
  std::deque<List<int64_t>> integer_lists_;
  std::deque<List<Tensor>> tensor_lists_;
  std::deque<EValue> given_, further_;
  std::vector<EValue*> pointers_;
};

}  // namespace lowpeak::test
