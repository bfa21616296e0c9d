#include "trainer/json.h"

#include <array>
#include <charconv>
#include <cmath>

namespace lowpeak::trainer {
namespace {

constexpr int kDeepest = 500;
constexpr std::int64_t kMostValues = 1'000'000;

bool opens(Json::parse_event_t event) {
  return event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
}

}  // namespace

const char* json_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "a list";
    case Json::value_t::string: return "a string";
    case Json::value_t::boolean: return "a boolean";
    case Json::value_t::number_float: return "a number";
    default: return "an integer";
  }
}

Json parse_json(std::string_view text, Fields fields) {
  JsonLimits limits(fields);
  return Json::parse(text, [&](int depth, Json::parse_event_t event, Json& value) {
    limits.see(depth, event, value);
    return true;
  });
}

void JsonLimits::require_shallow(int depth, Json::parse_event_t event) {
  if (opens(event) && depth >= kDeepest) {
    throw Json::other_error::create(kTooDeep, "it is nested too deeply", nullptr);
  }
}

void JsonLimits::see(int depth, Json::parse_event_t event, const Json& value) {
  require_shallow(depth, event);
  if ((opens(event) || event == Json::parse_event_t::value) && ++values_ > kMostValues) {
    throw Json::other_error::create(kTooMany, "it has more than " + std::to_string(kMostValues) + " values", nullptr);
  }
  if (fields_ == Fields::repeated) return;
  const auto place = static_cast<std::size_t>(depth);
  if (event == Json::parse_event_t::object_start) {
    if (names_.size() < place + 2) names_.resize(place + 2);
    names_[place + 1].clear();  // its keys are one deeper
  } else if (event == Json::parse_event_t::key) {
    const auto& name = value.get_ref<const std::string&>();
    if (!names_.at(place).insert(name).second) {
      throw Json::other_error::create(kTwice, "it has the field " + python_json_string(name) + " twice", nullptr);
    }
  }
}

void JsonReader::fail(const char* expected) const {
  throw Error(kind_, document_ + ": " + where_ + " should be " + expected + ", it is " + json_type(value_));
}

JsonReader JsonReader::child(const Json& value, const std::string& where) const {
  return JsonReader(value, kind_, document_, where);
}

JsonReader JsonReader::at(const std::string& field) const {
  if (!value_.is_object()) fail("an object");
  const auto found = value_.find(field);
  if (found == value_.end()) throw Error(kind_, document_ + ": " + where_ + " should have the field " + field);
  return child(*found, where_ + "." + field);
}

std::vector<JsonReader> JsonReader::items() const {
  if (!value_.is_array()) fail("a list");
  std::vector<JsonReader> made;
  for (const Json& item : value_) made.push_back(child(item, where_ + "[" + std::to_string(made.size()) + "]"));
  return made;
}

std::vector<std::pair<std::string, JsonReader>> JsonReader::fields() const {
  if (!value_.is_object()) fail("an object");
  std::vector<std::pair<std::string, JsonReader>> made;
  for (const auto& [name, item] : value_.items()) made.emplace_back(name, child(item, where_ + "." + name));
  return made;
}

std::string JsonReader::text() const {
  if (!value_.is_string()) fail("a string");
  return value_.get<std::string>();
}

bool JsonReader::boolean() const {
  if (!value_.is_boolean()) fail("a boolean");
  return value_.get<bool>();
}

std::int64_t JsonReader::integer() const {
  if (!value_.is_number_integer()) fail("an integer");
  if (value_.is_number_unsigned() && value_.get<std::uint64_t>() > INT64_MAX) fail("an integer of 64 bits");
  return value_.get<std::int64_t>();
}

double JsonReader::number() const {
  if (!value_.is_number()) fail("a number");
  return value_.get<double>();
}

std::vector<std::int64_t> JsonReader::integers() const {
  std::vector<std::int64_t> made;
  for (const JsonReader& item : items()) made.push_back(item.integer());
  return made;
}

std::optional<std::string> JsonReader::optional_text() const {
  return is_null() ? std::nullopt : std::optional(text());
}

std::optional<std::int64_t> JsonReader::optional_integer() const {
  return is_null() ? std::nullopt : std::optional(integer());
}

std::optional<double> JsonReader::optional_number() const { return is_null() ? std::nullopt : std::optional(number()); }

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  const auto written =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string scientific(buffer.data(), written.ptr);
  const auto split = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(split + 1));
  // Python writes an exponent from 1e16 on and below 1e-4.
  if (value == 0 || (exponent >= -4 && exponent < 16)) {
    const auto plain = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    const std::string text(buffer.data(), plain.ptr);
    return text.find('.') == std::string::npos ? text + ".0" : text;
  }
  const std::string digits = std::to_string(std::abs(exponent));
  return scientific.substr(0, split) + (exponent < 0 ? "e-" : "e+") + (digits.size() < 2 ? "0" : "") + digits;
}

std::string python_repr(const std::string& text) {
  const bool quoted = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = quoted ? '"' : '\'';
  std::string made(1, quote);
  for (const char c : text) {
    if (c == '\n')
      made += "\\n";
    else if (c == '\t')
      made += "\\t";
    else if (c == '\r')
      made += "\\r";
    else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      made += std::string("\\x") + kHex[c >> 4] + kHex[c & 15];
    } else {
      if (c == '\\' || c == quote) made += '\\';
      made += c;
    }
  }
  return made + quote;
}

std::string python_json_string(const std::string& text) {
  return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string python_list(const std::vector<std::int64_t>& values) {
  std::string made = "[";
  for (const std::int64_t value : values) made += (made.size() > 1 ? ", " : "") + std::to_string(value);
  return made + "]";
}

}  // namespace lowpeak::trainer
