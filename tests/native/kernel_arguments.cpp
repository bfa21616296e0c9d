// Gives each registered lowpeak:: kernel a right call, then the same call with one thing wrong, in all ways that there
// are: each has to fail with InvalidArgument and write nothing, and the right call has to give the same bytes after
// it. Prints what did not, and ends with 1; else a line for each kernel with the number of wrong calls.
//
// Other values that are as right as that of the call (another scale, a start that is inside too) have to be taken.
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "../../native/executorch/exports.h"
#include "kernel_calls.h"

namespace lowpeak::test {
namespace {

constexpr int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
const ScalarType types[] = {
#define LOWPEAK_TYPE(_, name) ScalarType::name,
    ET_FORALL_SCALAR_TYPES(LOWPEAK_TYPE)
#undef LOWPEAK_TYPE
};

class Trial {
 public:
  Trial(const et::Kernel& kernel, const std::string& folder, bool other)
      : kernel_(kernel), folder_(folder), sizes_(other), right_(right_calls.at(kernel.name_)(sizes_)) {
    const Outcome outcome = run(right_, Returned::outs);
    expected_ = outcome.written;
    if (outcome.error != et::Error::Ok) complain("the right call", "failed");
    for (const Value& value : right_) returns_ = returns_ || value.is_out;
  }

  int64_t wrong() const { return wrong_; }
  int64_t problems() const { return problems_; }

  void run_all() {
    for (size_t i = 0; i < right_.size(); ++i) {
      kinds(i);
      if (right_[i].kind == Kind::tensor) tensors(i);
      if (right_[i].kind == Kind::integer) numbers(i);
      if (right_[i].kind == Kind::integers) lists(i);
      if (right_[i].kind == Kind::number) amounts(i);
      if (right_[i].kind == Kind::flag) {
        change(i, "the other", right_[i].any_flag_is_right, [](Value& value) { value.flag = !value.flag; });
      }
    }
    counts();
  }

 private:
  struct Outcome {
    et::Error error;
    std::string written;
  };

  Outcome run(const Values& values, Returned returned) {
    // One file for each call: after a request that it refuses it takes none.
    const bool uses_file = std::string(kernel_.name_).find("load") != std::string::npos || right_is_store();
    Session* const session = lowpeak_session_open();
    if (uses_file && lowpeak_session_offload_open(session, folder_.c_str(), offload_bytes) != nullptr) {
      complain("the file", "is not there");
    }
    Materialized call(values, returned);
    Session* const before = lowpeak_session_enter(session);
    Outcome outcome{call.run(kernel_.op_), ""};
    lowpeak_session_enter(before);
    lowpeak_session_close(session);
    outcome.written = call.written(values);
    return outcome;
  }
  bool right_is_store() const { return std::string(kernel_.name_) == "lowpeak::store.out"; }

  void complain(const std::string& what, const std::string& problem) {
    ++problems_;
    std::printf("%s: %s %s\n", kernel_.name_, what.c_str(), problem.c_str());
  }

  void call(const std::string& what, const Values& values, bool is_right, Returned returned = Returned::outs) {
    const Outcome outcome = run(values, returned);
    if (is_right) {
      if (outcome.error != et::Error::Ok) complain(what, "is right and failed");
    } else {
      ++wrong_;
      if (outcome.error != et::Error::InvalidArgument) complain(what, "did not fail as it should");
      if (outcome.written.find_first_not_of('\xA5') != std::string::npos && !shares_memory(values)) {
        complain(what, "wrote before it failed");
      }
    }
    const Outcome again = run(right_, Returned::outs);
    if (again.error != et::Error::Ok || again.written != expected_) complain(what, "changed the right call after it");
  }

  static bool shares_memory(const Values& values) {
    return std::any_of(values.begin(), values.end(), [](const Value& value) { return value.lies_at >= 0; });
  }

  template <typename Change>
  void change(size_t index, const std::string& what, bool is_right, const Change& by) {
    Values values = right_;
    by(values[index]);
    call("argument " + std::to_string(index) + ", " + what, values, is_right);
  }

  void kinds(size_t index) {
    const Value& right = right_[index];
    for (int kind = 0; kind <= static_cast<int>(Kind::tensors); ++kind) {
      const Kind other = static_cast<Kind>(kind);
      if (other == right.kind) continue;
      Value value;
      value.kind = other;
      value.is_out = right.is_out;
      const bool is_right = right.right_kinds.count(other) > 0;
      change(index, "of kind " + std::to_string(kind), is_right, [&](Value& it) { it = value; });
    }
  }

  void tensors(size_t index) {
    const Value& right = right_[index];
    const bool any = right.any_sizes_are_right;
    for (ScalarType type : types) {
      if (type == right.type) continue;
      change(index, "of type " + std::to_string(static_cast<int>(type)),
             right.any_type_is_right || right.right_types.count(type) > 0, [type](Value& it) { it.type = type; });
    }
    for (size_t axis = 0; axis < right.sizes.size(); ++axis) {
      const int32_t size = right.sizes[axis];
      for (const int32_t other : {0, size - 1, size + 1, 2 * size, 1, 7 * size + 3}) {
        if (other == size || other < 0) continue;
        change(index, "axis " + std::to_string(axis) + " of size " + std::to_string(other),
               (any && other > 0) || right.right_size(axis, other), [&](Value& it) { it.sizes[axis] = other; });
      }
      change(index, "without axis " + std::to_string(axis), any,
             [&](Value& it) { it.sizes.erase(it.sizes.begin() + static_cast<std::ptrdiff_t>(axis)); });
    }
    for (const int32_t size : {-1, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
      if (right.sizes.empty()) break;
      change(index, "of " + std::to_string(size) + " rows", false, [&](Value& it) { it.false_size = size; });
    }
    for (size_t axis = 0; axis < right.sizes.size() && !any; ++axis) {
      const int32_t huge = std::numeric_limits<int32_t>::max();
      if (!right.right_size(axis, huge)) {
        change(index, "axis " + std::to_string(axis) + " of the highest size", false,
               [&](Value& it) { it.sizes[axis] = huge; });
      }
    }
    if (right.sizes.size() > 1) {
      change(index, "of more elements than can be counted", false,
             [](Value& it) { it.sizes.assign(it.sizes.size() + 1, std::numeric_limits<int32_t>::max()); });
    }
    // A front axis of 1, which leaves all bytes where they are, and one behind.
    change(index, "with an axis before", any, [](Value& it) { it.sizes.insert(it.sizes.begin(), 1); });
    change(index, "with an axis after", any, [](Value& it) { it.sizes.push_back(1); });
    if (right.sizes.size() > 1) {
      change(index, "as one row", any, [](Value& it) { it.sizes = {static_cast<int32_t>(it.count())}; });
      change(index, "with turned axes", false, [](Value& it) { it.is_turned = true; });
    }
    if (std::any_of(right.sizes.begin(), right.sizes.end(), [](int32_t size) { return size > 1; })) {
      change(index, "with gaps", false, [](Value& it) { it.has_gaps = true; });
    }
    if (right.count() > 0) {
      change(index, "without memory", false, [](Value& it) { it.is_null = true; });
      places(index);
    }
    if (right.element_bytes() > 1) {
      change(index, "at an odd address", false, [](Value& it) { it.shift_bytes = 1; });
    }
    for (size_t i = 0; i < right.elements.size(); ++i) {
      for (const int64_t other : {least, int64_t{-1}, int64_t{0}, int64_t{1}, right.elements[i] + 1, int64_t{6},
                                  int64_t{7}, int64_t{1} << 31, int64_t{1} << 32, most - 1, most}) {
        if (other == right.elements[i]) continue;
        change(index, "element " + std::to_string(i) + " of " + std::to_string(other), right.right_integer(other),
               [&](Value& it) { it.elements[i] = other; });
      }
    }
  }

  // What is written lies in the memory of each other argument.
  void places(size_t index) {
    if (!right_[index].is_out && !right_[index].is_changed) return;
    for (size_t i = 0; i < right_.size(); ++i) {
      if (i == index || right_[i].kind != Kind::tensor || right_[i].count() == 0) continue;
      const std::string at = "where argument " + std::to_string(i) + " lies";
      const bool is_right = right_[index].right_places.count(static_cast<int>(i)) > 0;
      Values values = right_;
      values[index].lies_at = static_cast<int>(i);
      call("argument " + std::to_string(index) + " " + at, values, is_right);
      if (right_[i].bytes() <= 8) continue;
      values[index].shift_bytes = 8;
      call("argument " + std::to_string(index) + " 8 bytes after " + at, values, false);
    }
  }

  void numbers(size_t index) {
    const Value& right = right_[index];
    for (const int64_t other : {least,
                                least + 1,
                                -(int64_t{1} << 32),
                                int64_t{-1},
                                int64_t{0},
                                int64_t{1},
                                int64_t{2},
                                int64_t{3},
                                int64_t{4},
                                int64_t{8},
                                int64_t{16},
                                right.integer - 1,
                                right.integer + 1,
                                int64_t{4095},
                                int64_t{4096},
                                int64_t{61440},
                                offload_bytes,
                                int64_t{1} << 31,
                                int64_t{1} << 32,
                                most - 4095,
                                most - 1,
                                most}) {
      if (other == right.integer) continue;
      change(index, "of " + std::to_string(other), right.right_integer(other), [&](Value& it) { it.integer = other; });
    }
  }

  void lists(size_t index) {
    for (size_t i = 0; i < right_[index].integers.size(); ++i) {
      for (const int64_t other :
           {least, int64_t{-1}, int64_t{0}, right_[index].integers[i] + 1, int64_t{1} << 32, most}) {
        change(index, "with " + std::to_string(other), false, [&](Value& it) { it.integers[i] = other; });
      }
    }
    change(index, "shorter", false, [](Value& it) { it.integers.pop_back(); });
    change(index, "longer", false, [](Value& it) { it.integers.push_back(1); });
    change(index, "empty", false, [](Value& it) { it.integers.clear(); });
  }

  void amounts(size_t index) {
    const double infinite = std::numeric_limits<double>::infinity();
    for (const double other : {std::nan(""), infinite, -infinite, 1e39, -1e300}) {
      change(index, "of " + std::to_string(other), false, [&](Value& it) { it.number = other; });
    }
    const Value& right = right_[index];
    for (const double other : {0.0, 2.0, 1e-30, 1e30, -1e-5, -2.0}) {
      change(index, "of " + std::to_string(other), other < 0 ? right.any_number_is_right : right.any_amount_is_right,
             [&](Value& it) { it.number = other; });
    }
  }

  void counts() {
    if (!returns_) {
      call("no value", {}, false);
      return;
    }
    Values fewer = right_;
    fewer.pop_back();
    call("an argument less", fewer, false);
    Values more = right_;
    more.push_back(right_.back());
    call("an argument more", more, false);
    for (int i = 1; i <= static_cast<int>(Returned::one_more); ++i) {
      call("returned in way " + std::to_string(i), right_, false, static_cast<Returned>(i));
    }
  }

  const et::Kernel& kernel_;
  const std::string& folder_;
  Sizes sizes_;
  Values right_;
  std::string expected_;
  bool returns_ = false;
  int64_t wrong_ = 0, problems_ = 0;
};

int check(const std::string& folder) {
  int64_t problems = 0, kernels = 0;
  for (const et::Kernel& kernel : et::get_registered_kernels()) {
    const std::string name = kernel.name_;
    if (name.rfind("lowpeak::", 0) != 0) continue;
    ++kernels;
    if (right_calls.count(name) == 0) {
      std::printf("%s: has no right call in kernel_calls.h\n", name.c_str());
      ++problems;
      continue;
    }
    int64_t wrong = 0;
    for (const bool other : {false, true}) {
      Trial trial(kernel, folder, other);
      trial.run_all();
      wrong += trial.wrong();
      problems += trial.problems();
    }
    std::printf("%s %lld\n", name.c_str(), static_cast<long long>(wrong));
  }
  if (kernels != static_cast<int64_t>(right_calls.size())) {
    std::printf("%lld kernels are registered, not the %zu of kernel_calls.h\n", static_cast<long long>(kernels),
                right_calls.size());
    ++problems;
  }
  return problems == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lowpeak::test

int main(int count, char** arguments) { return count == 2 ? lowpeak::test::check(arguments[1]) : 2; }
