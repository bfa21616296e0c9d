#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/schedule.h"

#include <doctest/doctest.h>

namespace lowpeak::trainer {
namespace {

OptimizerOptions options(Schedule schedule, std::int64_t warmup) {
  OptimizerOptions made;
  made.learning_rate = 0.5;
  made.schedule = schedule;
  made.warmup_steps = warmup;
  return made;
}

}  // namespace

TEST_CASE("the warm-up rises linearly to the whole rate, from its first step on") {
  for (const Schedule schedule : {Schedule::constant, Schedule::cosine}) {
    const OptimizerOptions made = options(schedule, 4);
    CHECK(learning_rate_at(made, 0, 10) == 0.125);
    CHECK(learning_rate_at(made, 2, 10) == 0.375);
    CHECK(learning_rate_at(made, 4, 10) == 0.5);
  }
}

TEST_CASE("a constant rate stays") { CHECK(learning_rate_at(options(Schedule::constant, 0), 1'000'000, 10) == 0.5); }

TEST_CASE("the cosine falls to half at the middle and to zero at the end") {
  const OptimizerOptions made = options(Schedule::cosine, 2);
  CHECK(learning_rate_at(made, 2, 12) == 0.5);
  CHECK(learning_rate_at(made, 7, 12) == doctest::Approx(0.25));
  CHECK(learning_rate_at(made, 12, 12) == doctest::Approx(0.0));
  // A run that goes on beyond its length does not rise again.
  CHECK(learning_rate_at(made, 20, 12) == doctest::Approx(0.0));
}

TEST_CASE("a warm-up as long as the run") {
  CHECK(learning_rate_at(options(Schedule::cosine, 5), 4, 5) == 0.5);
  CHECK(learning_rate_at(options(Schedule::cosine, 9), 4, 5) == doctest::Approx(0.5 * 5 / 9));
}

}  // namespace lowpeak::trainer
