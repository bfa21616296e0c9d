#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/fingerprint.h"

#include <doctest/doctest.h>

#include "folder.h"

namespace lowpeak::trainer {

TEST_CASE("the fingerprints are those that Python gives") {
  const Json cases = parse_json(contents_of(LOWPEAK_FINGERPRINTS));
  REQUIRE(cases.size() > 4);
  for (const Json& each : cases) {
    const JsonReader options(each.at("options"), "ValueError", "fingerprints.json", "options");
    CHECK(fingerprint_of(option_fields(options)) == each.at("fingerprint").get<std::string>());
  }
}

TEST_CASE("the length of the run counts only where the schedule has an end") {
  OptimizerOptions options;
  CHECK(option_fields(options, 1, 10) == option_fields(options, 1, 20));
  options.schedule = Schedule::cosine;
  CHECK(option_fields(options, 1, 10) != option_fields(options, 1, 20));
}

TEST_CASE("every option counts") {
  const std::string before = fingerprint_of(option_fields({}, 1, 10));
  const auto changed = [&](auto change) {
    OptimizerOptions options;
    change(options);
    return fingerprint_of(option_fields(options, 1, 10)) != before;
  };
  CHECK(changed([](OptimizerOptions& options) { options.algorithm = Algorithm::sgd; }));
  CHECK(changed([](OptimizerOptions& options) { options.learning_rate = 1; }));
  CHECK(changed([](OptimizerOptions& options) { options.weight_decay = 1; }));
  CHECK(changed([](OptimizerOptions& options) { options.beta1 = 0; }));
  CHECK(changed([](OptimizerOptions& options) { options.beta2 = 0; }));
  CHECK(changed([](OptimizerOptions& options) { options.epsilon = 1; }));
  CHECK(changed([](OptimizerOptions& options) { options.momentum = 0.5; }));
  CHECK(changed([](OptimizerOptions& options) { options.clip_norm = 1; }));
  CHECK(changed([](OptimizerOptions& options) { options.warmup_steps = 1; }));
  CHECK(changed([](OptimizerOptions& options) { options.schedule = Schedule::cosine; }));
  CHECK(fingerprint_of(option_fields({}, 2, 10)) != before);
}

}  // namespace lowpeak::trainer
