// Reading JSON with the place named in every error, and writing it as Python's json module does.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/error.h"

namespace lowpeak::trainer {

using Json = nlohmann::json;

// Whether an object may have a field twice, of which the last counts, as for Python.
enum class Fields { unique, repeated };

// Parses a document. Throws a Json::exception that says what is wrong, also of one that is nested so deeply (Python's
// limit is about the same) that what walks through it would need too much stack, that has a million values and more,
// or a field twice; `error.id` is then kTooDeep, kTooMany or kTwice.
Json parse_json(std::string_view text, Fields fields = Fields::unique);
constexpr int kTooDeep = 599, kTooMany = 598, kTwice = 597;

// The limits above, for what sees a document go by: a callback of Json::parse tells it everything.
class JsonLimits {
 public:
  explicit JsonLimits(Fields fields) : fields_(fields) {}
  void see(int depth, Json::parse_event_t event, const Json& value);
  static void require_shallow(int depth, Json::parse_event_t event);

 private:
  Fields fields_;
  std::int64_t values_ = 0;
  std::vector<std::set<std::string>> names_;  // of the objects that are open, by their depth
};

// What a message calls the value's type: "an object", "null".
const char* json_type(const Json& value);

// One value of a document. Throws an Error of `kind` for a value of another type than asked for.
class JsonReader {
 public:
  JsonReader(const Json& value, std::string kind, std::string document, std::string where)
      : value_(value), kind_(std::move(kind)), document_(std::move(document)), where_(std::move(where)) {}

  JsonReader at(const std::string& field) const;
  bool has(const std::string& field) const { return value_.is_object() && value_.contains(field); }
  bool is_null() const { return value_.is_null(); }
  std::vector<JsonReader> items() const;                           // of a list
  std::vector<std::pair<std::string, JsonReader>> fields() const;  // of an object, sorted

  std::string text() const;
  std::int64_t integer() const;
  bool boolean() const;
  double number() const;
  std::vector<std::int64_t> integers() const;
  std::optional<std::string> optional_text() const;
  std::optional<std::int64_t> optional_integer() const;
  std::optional<double> optional_number() const;

 private:
  [[noreturn]] void fail(const char* expected) const;
  JsonReader child(const Json& value, const std::string& where) const;

  const Json& value_;
  std::string kind_;
  std::string document_;
  std::string where_;
};

// As Python's repr of a float: the shortest digits that read back as the same number.
std::string python_float(double value);

// As Python's repr of a string of printable characters.
std::string python_repr(const std::string& text);

// As json.dumps of a string.
std::string python_json_string(const std::string& text);

// "[1, 2]", as Python prints a list.
std::string python_list(const std::vector<std::int64_t>& values);

}  // namespace lowpeak::trainer
