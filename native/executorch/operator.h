// What a program has to give an operator: declared once, beside its kernel, and checked before every call
// (check.h). A kernel cannot be registered without.
//
//     constexpr Argument arguments[] = {floats("x", "*c"), floats("weight", "c"), out(floats("out", "*c"))};
//     constexpr Operator scale_operator("lowpeak::scale.out", arguments, nullptr, scale);
//
// The axes of a tensor, in its order:
//
//     b, t ...  a number above 0, the same wherever the letter stands among the operator's arguments
//     0, 1      this number
//     (ht)      the axes h and t, or t and h where the argument heads_axis is 2
//     *         any number of axes, none of size 0, the same wherever it stands
//     ?         any number of axes, none of size 0
//
// A tensor has memory of the size that its axes say, aligned for its elements and without gaps. What is written lies
// apart from all other arguments, or exactly where one lies that the declaration names. An integer's letter stands
// for its value; what has to hold between numbers is the operator's `fits`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace lowpeak {

class Call;

enum class Kind : uint8_t { tensor, integer, integers, number, flag };

enum class Elements : uint8_t {
  float32,
  int64,
  uint8,
  scale,      // float16 or float32
  quantized,  // uint8 for 4 bits, int8 for 8; the argument `bits` says which
  same,       // any type, the same wherever it stands
  any,
};

// As many as in_place_of has bits.
constexpr size_t kMostArguments = 32;

constexpr char kHeadsAxisLetter = 'x';
constexpr char kBitsLetter = 'q';

struct Argument {
  const char* name;
  Kind kind;
  Elements elements = Elements::any;
  const char* axes = nullptr;
  char letter = 0;              // of an integer or a flag
  int64_t choices[2] = {0, 0};  // the values of an integer, if they differ
  bool may_be_none = false;
  bool is_written = false;
  bool is_out = false;       // given a second time, after all arguments, as what the operator returns
  uint32_t in_place_of = 0;  // bits of the arguments where it may lie
};

constexpr Argument tensor(const char* name, Elements elements, const char* axes) {
  Argument argument{name, Kind::tensor};
  argument.elements = elements;
  argument.axes = axes;
  return argument;
}
constexpr Argument floats(const char* name, const char* axes) { return tensor(name, Elements::float32, axes); }
constexpr Argument ids(const char* name, const char* axes) { return tensor(name, Elements::int64, axes); }

constexpr Argument integer(const char* name, char letter = 0) {
  Argument argument{name, Kind::integer};
  argument.letter = letter;
  return argument;
}
constexpr Argument one_of(const char* name, char letter, int64_t first, int64_t second) {
  Argument argument = integer(name, letter);
  argument.choices[0] = first;
  argument.choices[1] = second;
  return argument;
}
constexpr Argument heads_axis() { return one_of("heads_axis", kHeadsAxisLetter, 1, 2); }

constexpr Argument integers(const char* name) { return {name, Kind::integers}; }
constexpr Argument flag(const char* name, char letter = 0) {
  Argument argument = integer(name, letter);
  argument.kind = Kind::flag;
  return argument;
}
// Finite as a float32.
constexpr Argument number(const char* name) { return {name, Kind::number}; }

constexpr Argument or_none(Argument argument) {
  argument.may_be_none = true;
  return argument;
}
// An operand that the kernel changes.
constexpr Argument changed(Argument argument) {
  argument.is_written = true;
  return argument;
}
constexpr Argument out(Argument argument, std::initializer_list<int> in_place_of = {}) {
  argument.is_written = argument.is_out = true;
  for (int other : in_place_of) argument.in_place_of |= uint32_t{1} << other;
  return argument;
}

// A quantized matrix of r rows and p bytes a row is these four, in this order, and `fits` asks is_matrix
// (call.h).
constexpr Argument data() { return tensor("data", Elements::quantized, "rp"); }
constexpr Argument scale() { return tensor("scale", Elements::scale, "rg"); }
constexpr Argument zero_point() { return or_none(floats("zero_point", "rg")); }
constexpr Argument bits() { return one_of("bits", kBitsLetter, 4, 8); }

struct Operator {
  const char* name;
  const Argument* arguments;
  size_t count;
  bool (*fits)(const Call&);  // of arguments that are each as declared; null if that is all
  void (*run)(Call&);
  bool any_number;  // of values, one or more, each as the only argument is declared

  template <size_t size>
  constexpr Operator(const char* name, const Argument (&arguments)[size], bool (*fits)(const Call&), void (*run)(Call&),
                     bool any_number = false)
      : name(name), arguments(arguments), count(size), fits(fits), run(run), any_number(any_number) {
    static_assert(size <= kMostArguments);
  }
};

}  // namespace lowpeak
