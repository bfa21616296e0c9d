#include "executorch/check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include <executorch/runtime/core/exec_aten/util/scalar_type_util.h>
#include <executorch/runtime/platform/log.h>

namespace lowpeak {
namespace {

// More than a process can have, and few enough that their bytes can be counted.
constexpr double kMostElements = 1e13;

using Sizes = executorch::aten::ArrayRef<executorch::aten::SizesType>;

struct Fault {
  const char* argument;
  const char* what;
};

// The bytes of a tensor.
struct Place {
  uintptr_t begin, end;
};

// Null if the tensor has memory of its size, in which its elements lie one after the other in the order of its axes;
// else what is wrong.
const char* memory_fault(const Tensor& tensor, Place& place) {
  if (!executorch::runtime::isValid(tensor.scalar_type())) return "has elements of no type";
  const auto element = static_cast<int64_t>(executorch::runtime::elementSize(tensor.scalar_type()));
  const Sizes sizes = tensor.sizes();
  const auto order = tensor.dim_order();
  const auto strides = tensor.strides();
  int64_t count = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    if (order.data() != nullptr && order[axis] != axis) return "has its axes in another order";
    if (strides.data() != nullptr && sizes[axis] > 1 && strides[axis] != count) return "has gaps between its elements";
    if (sizes[axis] < 0 || static_cast<double>(count) * sizes[axis] > kMostElements) return "is larger than memory";
    count *= sizes[axis];
  }
  if (tensor.numel() != count) return "has another number of elements than its axes say";
  if (count == 0) return nullptr;
  place.begin = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  place.end = place.begin + static_cast<uintptr_t>(count * element);
  if (place.begin == 0) return "has no memory";
  return (place.begin & static_cast<uintptr_t>(element - 1)) == 0 ? nullptr : "is not aligned for its elements";
}

class Check {
 public:
  Check(const Operator& called, Span<EValue*> values) : called_(called), values_(values) {}

  const Numbers& numbers() const { return numbers_; }
  const Fault& fault() const { return fault_; }

  // Whether each value is as declared, and what is written lies where it may.
  bool passes() {
    if (!is_complete()) return wrong("the number of values", "is another");
    // Tensors are read in the light of the integers.
    for (size_t i = 0; i < tensors_end(); ++i) {
      if (!called_.any_number) places_[i] = {0, 0};
      const char* what = as_value(argument(i), *values_[i]);
      if (what != nullptr) return wrong(argument(i).name, what);
    }
    for (size_t i = 0; i < tensors_end(); ++i) {
      if (!values_[i]->isTensor()) continue;
      const char* what = as_tensor(argument(i), values_[i]->toTensor(), places_[called_.any_number ? 0 : i]);
      if (what != nullptr) return wrong(argument(i).name, what);
    }
    if (called_.any_number) return true;
    for (size_t i = 0; i < called_.count; ++i) {
      if (argument(i).is_written && !lies_apart(i)) return wrong(argument(i).name, "lies where another argument does");
    }
    return returns_what_is_written() || wrong("what is returned", "is not what is written");
  }

 private:
  bool wrong(const char* argument, const char* what) {
    fault_ = {argument, what};
    return false;
  }

  const Argument& argument(size_t index) const { return called_.arguments[called_.any_number ? 0 : index]; }
  size_t tensors_end() const { return called_.any_number ? values_.size() : called_.count; }

  bool is_complete() const {
    if (called_.any_number ? values_.empty() : values_.size() != called_.count + 1) return false;
    return std::all_of(values_.begin(), values_.end(), [](const EValue* value) { return value != nullptr; });
  }

  const char* as_value(const Argument& declared, const EValue& value) {
    if (declared.may_be_none && value.isNone()) return nullptr;
    switch (declared.kind) {
      case Kind::tensor: return value.isTensor() ? nullptr : "is no tensor";
      case Kind::integers: return value.isIntList() ? nullptr : "is no list of integers";
      case Kind::number:
        if (!value.isDouble()) return "is no number";
        return std::abs(value.toDouble()) <= std::numeric_limits<float>::max() ? nullptr : "is not finite";
      case Kind::flag:
        if (!value.isBool()) return "is no truth value";
        return as_number(declared, value.toBool());
      case Kind::integer: return value.isInt() ? as_number(declared, value.toInt()) : "is no integer";
    }
    return "is of no kind that there is";
  }

  const char* as_number(const Argument& declared, int64_t number) {
    const int64_t* choices = declared.choices;
    if (choices[0] != choices[1] && number != choices[0] && number != choices[1]) return "is none of its two values";
    return declared.letter == 0 || numbers_.hold(declared.letter, number) ? nullptr : "is not as in other arguments";
  }

  const char* as_tensor(const Argument& declared, const Tensor& tensor, Place& place) {
    if (!is_of(declared.elements, tensor.scalar_type())) return "has elements of another type";
    if (const char* fault = memory_fault(tensor, place)) return fault;
    return has_axes(declared.axes, tensor.sizes()) ? nullptr : "has axes of other sizes";
  }

  bool is_of(Elements elements, ScalarType type) {
    switch (elements) {
      case Elements::float32: return type == ScalarType::Float;
      case Elements::int64: return type == ScalarType::Long;
      case Elements::uint8: return type == ScalarType::Byte;
      case Elements::scale: return type == ScalarType::Half || type == ScalarType::Float;
      case Elements::quantized: return type == (numbers_[kBitsLetter] == 4 ? ScalarType::Byte : ScalarType::Char);
      case Elements::same:
        if (same_ == ScalarType::Undefined) same_ = type;
        return type == same_;
      case Elements::any: return true;
    }
    return false;
  }

  bool has_axes(const char* axes, Sizes sizes) {
    const auto is_axis = [](char sign) { return (sign >= 'a' && sign <= 'z') || sign == '0' || sign == '1'; };
    size_t named = 0;
    for (const char* sign = axes; *sign; ++sign) named += is_axis(*sign);
    if (sizes.size() < named) return false;
    const size_t others = sizes.size() - named;
    size_t axis = 0;
    for (const char* sign = axes; *sign; ++sign) {
      if (*sign == '*' || *sign == '?') {
        if (!are_others(*sign, sizes.slice(axis, others))) return false;
        axis += others;
      } else if (*sign == '(') {
        // "(ht)"
        const bool turned = numbers_[kHeadsAxisLetter] == 2;
        if (!holds(sign[1], sizes[axis + turned]) || !holds(sign[2], sizes[axis + !turned])) return false;
        axis += 2;
        sign += 3;
      } else {
        if (!holds(*sign, sizes[axis])) return false;
        ++axis;
      }
    }
    return axis == sizes.size();
  }

  bool holds(char sign, int64_t size) {
    if (sign == '0' || sign == '1') return size == sign - '0';
    return size > 0 && numbers_.hold(sign, size);
  }

  bool are_others(char sign, Sizes sizes) {
    if (std::any_of(sizes.begin(), sizes.end(), [](int64_t size) { return size == 0; })) return false;
    if (sign == '?') return true;
    if (!others_known_) others_ = sizes;
    others_known_ = true;
    return std::equal(sizes.begin(), sizes.end(), others_.begin(), others_.end());
  }

  // What is none, or empty, has no place.
  bool lies_apart(size_t written) const {
    const Place& own = places_[written];
    for (size_t i = 0; i < called_.count; ++i) {
      const Place& other = places_[i];
      if (i == written || other.begin >= own.end || own.begin >= other.end) continue;
      const bool in_place = (argument(written).in_place_of & (uint32_t{1} << i)) != 0 && !argument(i).is_written;
      if (!in_place || other.begin != own.begin || other.end != own.end) return false;
    }
    return true;
  }

  // One tensor as it is, several as a list.
  bool returns_what_is_written() const {
    const EValue& returned = *values_[called_.count];
    size_t first = called_.count;
    while (first > 0 && argument(first - 1).is_out) --first;
    const auto is_written = [&](size_t index, const Tensor& tensor) {
      return values_[index]->toTensor().unsafeGetTensorImpl() == tensor.unsafeGetTensorImpl();
    };
    if (called_.count - first == 1) return returned.isTensor() && is_written(first, returned.toTensor());
    if (!returned.isTensorList()) return false;
    const auto list = returned.tryToTensorList();
    if (!list.ok() || list->size() != called_.count - first) return false;
    for (size_t i = 0; i < list->size(); ++i) {
      if (!is_written(first + i, (*list)[i])) return false;
    }
    return true;
  }

  const Operator& called_;
  Span<EValue*> values_;
  Numbers numbers_;
  Place places_[kMostArguments];  // set by passes()
  ScalarType same_ = ScalarType::Undefined;
  Sizes others_;
  bool others_known_ = false;
  Fault fault_ = {};
};

}  // namespace

void check_and_run(const Operator& called, KernelRuntimeContext& context, Span<EValue*> values) {
  Check check(called, values);
  if (!check.passes()) {
    ET_LOG(Error, "%s: %s %s", called.name, check.fault().argument, check.fault().what);
    return context.fail(Error::InvalidArgument);
  }
  Call call(context, values, check.numbers());
  if (called.fits != nullptr && !called.fits(call)) {
    ET_LOG(Error, "%s: its arguments do not fit each other", called.name);
    return context.fail(Error::InvalidArgument);
  }
  try {
    called.run(call);
  } catch (const std::bad_alloc&) {
    context.fail(Error::MemoryAllocationFailed);
  }
}

}  // namespace lowpeak
