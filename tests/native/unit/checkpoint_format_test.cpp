#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/checkpoint_format.h"

#include <doctest/doctest.h>

#include "checkpoint.h"
#include "folder.h"
#include "trainer/error.h"

namespace lowpeak::trainer {

TEST_CASE("what is written is read") {
  const Folder folder;
  save_checkpoint(folder / "c", 3);
  for (const Progress& progress : {read_header(folder / "c"), verify(folder / "c")}) {
    CHECK(progress.artifact == "an id");
    CHECK(progress.step == 3);
    CHECK(progress.seed == 7);
    CHECK(progress.fingerprint == "a fingerprint");
    CHECK(progress.options == OptionFields{{"schedule", "cosine"}});
    CHECK(progress.data == "a hash");
    CHECK(progress.position == 11);
  }
}

TEST_CASE("no byte can change without notice") {
  const Folder folder;
  save_checkpoint(folder / "c", 3);
  const std::string whole = contents_of(folder / "c");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    save(folder / "c", flipped);
    INFO("byte ", i);
    CHECK_THROWS_AS(verify(folder / "c"), std::runtime_error);
  }
}

TEST_CASE("nothing can be cut off or added") {
  const Folder folder;
  save_checkpoint(folder / "c", 3);
  const std::string whole = contents_of(folder / "c");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    save(folder / "c", whole.substr(0, size));
    INFO(size, " bytes");
    CHECK_THROWS_AS(verify(folder / "c"), Damaged);
  }
  save(folder / "c", whole + '\0');
  CHECK_THROWS_WITH_AS(verify(folder / "c"), doctest::Contains("by its header it should have"), Damaged);
}

TEST_CASE("one of an earlier version is no damaged one") {
  const Folder folder;
  const std::string header = "{\"__metadata__\":{\"format\":\"lowpeak-checkpoint-1\"}}";
  std::string length(8, '\0');
  length[0] = static_cast<char>(header.size());
  save(folder / "c", length + header);
  CHECK_THROWS_WITH_AS(read_header(folder / "c"), doctest::Contains("an earlier version"), Error);
}

TEST_CASE("one with its options as a text has their fingerprint") {
  const Folder folder;
  const std::string options =
      R"({"accumulate": 1, "algorithm": "sgd", "betas": [0.9, 0.999], "clip_norm": null, "epsilon": 1e-08, )"
      R"("learning_rate": 0.5, "momentum": 0.0, "schedule": "constant", "warmup_steps": 2, "weight_decay": 0})";
  const auto with = [&](const std::string& text) {
    const Json progress = {{"artifact", "an id"}, {"step", 3},        {"seed", 7},
                           {"options", text},     {"data", "a hash"}, {"position", 11}};
    const std::string zeros(64, '0');
    const std::string header = R"({"__metadata__":{"checksum":")" + zeros + R"(","format":"lowpeak-checkpoint-3",)" +
                               "\"progress\":" + Json(progress.dump()).dump() + "}}";
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 2; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
    std::string whole = length + header;
    whole.replace(whole.find(zeros), zeros.size(), sha256_of(whole));
    save(folder / "c", whole);
    return verify(folder / "c");
  };
  const Progress progress = with(options);
  CHECK(progress.step == 3);
  CHECK(progress.options.at("learning_rate") == "0.5");
  CHECK(progress.options.at("weight_decay") == "0.0");
  CHECK(progress.fingerprint == fingerprint_of(progress.options));
  CHECK_THROWS_WITH_AS(with("{}"), doctest::Contains("its progress cannot be read"), Damaged);
  CHECK_THROWS_WITH_AS(with("no JSON"), doctest::Contains("its progress cannot be read"), Damaged);
}

}  // namespace lowpeak::trainer
