#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/json.h"

#include <doctest/doctest.h>

#include <limits>

namespace lowpeak::trainer {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_json(text);
  } catch (const Json::exception& error) {
    return error.what();
  }
  return "";
}

JsonReader reading(const Json& value) { return JsonReader(value, "ArtifactError", "manifest.json", "manifest"); }

}  // namespace

TEST_CASE("depth, values and names are bounded") {
  CHECK(error_of(std::string(500, '[') + std::string(500, ']')).empty());
  CHECK(error_of(std::string(501, '[') + std::string(501, ']')).find("too deeply") != std::string::npos);
  CHECK(error_of("{\"a\": 1, \"b\": {\"a\": 2}}").empty());
  CHECK(error_of("{\"a\": 1, \"a\": 2}").find("the field \"a\" twice") != std::string::npos);
  CHECK(parse_json("{\"a\": 1, \"a\": 2}", Fields::repeated).at("a") == 2);
  std::string many = "[0";
  for (int i = 1; i < 1'000'000; ++i) many += ",0";
  CHECK(error_of(many + "]").find("more than 1000000 values") != std::string::npos);
}

TEST_CASE("an error names the place and the types of JSON") {
  const Json value = parse_json(R"({"a": [1, null], "b": 1.5, "c": 18446744073709551615})");
  const JsonReader reader = reading(value);
  CHECK_THROWS_WITH(reader.at("a").items().at(1).integer(),
                    "manifest.json: manifest.a[1] should be an integer, it is null");
  CHECK_THROWS_WITH(reader.at("b").integer(), "manifest.json: manifest.b should be an integer, it is a number");
  CHECK_THROWS_WITH(reader.at("c").integer(), doctest::Contains("an integer of 64 bits"));
  CHECK_THROWS_WITH(reader.at("d"), "manifest.json: manifest should have the field d");
  CHECK_THROWS_WITH(reader.at("a").at("x"), "manifest.json: manifest.a should be an object, it is a list");
}

TEST_CASE("optional values are there or null") {
  const Json value = parse_json(R"({"none": null, "one": 1, "text": "a"})");
  CHECK(!reading(value).at("none").optional_integer());
  CHECK(reading(value).at("one").optional_number() == 1.0);
  CHECK(reading(value).at("text").optional_text() == "a");
}

TEST_CASE("numbers are written as Python writes them") {
  CHECK(python_float(0.1) == "0.1");
  CHECK(python_float(2) == "2.0");
  CHECK(python_float(1e16) == "1e+16");
  CHECK(python_float(1e15) == "1000000000000000.0");
  CHECK(python_float(0.0001) == "0.0001");
  CHECK(python_float(0.00001) == "1e-05");
  CHECK(python_float(-1.5e300) == "-1.5e+300");
  CHECK(python_float(5e-324) == "5e-324");
  CHECK(python_float(-0.0) == "-0.0");
  CHECK(python_float(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(python_list({1, -2}) == "[1, -2]");
}

TEST_CASE("texts are written as Python writes them") {
  CHECK(python_repr("it's") == "\"it's\"");
  CHECK(python_repr("\"it's\"") == "'\"it\\'s\"'");
  CHECK(python_repr("a\n\x01\\") == "'a\\n\\x01\\\\'");
  CHECK(python_json_string("\"\u00e9\n") == "\"\\\"\\u00e9\\n\"");
}

}  // namespace lowpeak::trainer
