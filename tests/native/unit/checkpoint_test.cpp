#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/checkpoint.h"

#include <doctest/doctest.h>

#include <limits>

#include "folder.h"
#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

OptionFields options_with(double learning_rate) {
  OptimizerOptions options;
  options.learning_rate = learning_rate;
  return option_fields(options, 1, 10);
}

Progress progress_at(std::int64_t step) {
  const OptionFields options = options_with(0.5);
  return {"an id", step, 7, fingerprint_of(options), options, "a hash", 11};
}

// An adapter of one tensor with its optimizer's state.
struct Tensors {
  explicit Tensors(float value) : factor{value, value + 1}, state{value + 2} {}

  std::vector<TensorView> adapter() { return {{"factor", {2}, factor, 2}}; }
  std::vector<TensorView> optimizer() { return {{"factor", {1}, state, 1}}; }

  float factor[2];
  float state[1];
};

void save(const std::string& path, std::int64_t step, Tensors& tensors) {
  save_checkpoint(path, progress_at(step), tensors.adapter(), tensors.optimizer(), [] {});
}

std::int64_t restore(const std::string& path, Tensors& tensors, const Progress& wanted = progress_at(0)) {
  return restore_checkpoint(path, wanted, tensors.adapter(), tensors.optimizer(), [] {});
}

}  // namespace

TEST_CASE("what is saved is restored, and the one before is kept") {
  const Folder folder;
  Tensors first(1), second(5), found(0);
  save(folder / "c.safetensors", 3, first);
  save(folder / "c.safetensors", 4, second);
  CHECK(restore(folder / "c.safetensors", found) == 4);
  CHECK(found.factor[1] == 6);
  CHECK(found.state[0] == 7);
  CHECK(restore(folder / "c.previous.safetensors", found) == 3);
  CHECK(found.factor[0] == 1);
}

TEST_CASE("a run goes on with what it began with, and is told what differs") {
  const Folder folder;
  Tensors tensors(1);
  save(folder / "c", 3, tensors);
  Progress wanted = progress_at(0);
  wanted.seed = 8;
  CHECK_THROWS_WITH_AS(restore(folder / "c", tensors, wanted), doctest::Contains("with seed 7, now it is 8"), Error);
  wanted = progress_at(0);
  wanted.options = options_with(0.25);
  wanted.fingerprint = fingerprint_of(wanted.options);
  CHECK_THROWS_WITH_AS(restore(folder / "c", tensors, wanted),
                       doctest::Contains("with learning_rate 0.5, now it is 0.25: a resumed run keeps it"), Error);
  wanted = progress_at(0);
  wanted.data = "another";
  CHECK_THROWS_WITH_AS(restore(folder / "c", tensors, wanted), doctest::Contains("on other data"), Error);
  wanted = progress_at(0);
  wanted.artifact = "another";
  CHECK_THROWS_WITH_AS(restore(folder / "c", tensors, wanted), doctest::Contains("another artifact"), Error);
}

TEST_CASE("tensors are those of the artifact, and finite") {
  const Folder folder;
  Tensors tensors(1);
  save(folder / "c", 3, tensors);
  std::vector<TensorView> adapter = tensors.adapter();
  adapter[0].shape = {1, 2};
  CHECK_THROWS_WITH_AS(restore_checkpoint(folder / "c", progress_at(0), adapter, tensors.optimizer(), [] {}),
                       doctest::Contains("has shape [2] and type F32, not [1, 2] and F32"), Error);
  CHECK_THROWS_WITH_AS(restore_checkpoint(folder / "c", progress_at(0), tensors.adapter(), {}, [] {}),
                       doctest::Contains("optimizer.factor is in only one of the two"), Error);
  tensors.factor[1] = std::numeric_limits<float>::infinity();
  save(folder / "c", 4, tensors);
  CHECK_THROWS_WITH_AS(restore(folder / "c", tensors), doctest::Contains("not finite"), Error);
}

TEST_CASE("the adapter alone comes from the newest whole generation") {
  const Folder folder;
  Tensors first(1), second(5), found(0);
  save(folder / "c.safetensors", 3, first);
  save(folder / "c.safetensors", 4, second);
  std::string contents = contents_of(folder / "c.safetensors");
  contents.back() ^= 1;
  lowpeak::save(folder / "c.safetensors", contents);
  std::string told;
  restore_adapter(folder / "c.safetensors", "an id", found.adapter(), [] {}, [&](const std::string& it) { told = it; });
  CHECK(found.factor[0] == 1);
  CHECK(told.find("is damaged") != std::string::npos);
  CHECK_THROWS_WITH_AS(restore_adapter(
                           folder / "c.safetensors", "another", found.adapter(), [] {}, [](auto&) {}),
                       doctest::Contains("another artifact"), Error);
  CHECK_THROWS_WITH_AS(restore_adapter(
                           folder / "none", "an id", found.adapter(), [] {}, [](auto&) {}),
                       doctest::Contains("there is no checkpoint"), Error);
}

}  // namespace lowpeak::trainer
