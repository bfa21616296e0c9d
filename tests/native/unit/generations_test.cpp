#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/generations.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "checkpoint.h"
#include "folder.h"
#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

void spoil(const std::string& path) {
  std::string bytes = contents_of(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  save(path, bytes);
}

struct Run {
  Folder folder;
  std::string newest = folder / "checkpoint.safetensors", before = previous_of(newest);
  std::string told;
  Tell tell = [this](const std::string& words) { told += words; };

  Run() { save_checkpoint(before, 1), save_checkpoint(newest, 2); }
};

}  // namespace

TEST_CASE("the name of the one before") { CHECK(previous_of("a/c.safetensors") == "a/c.previous.safetensors"); }

TEST_CASE_FIXTURE(Run, "the newest whole one is found") {
  CHECK(newest_of(newest, tell)->progress.step == 2);
  CHECK(told.empty());
  spoil(newest);
  CHECK(newest_of(newest, tell)->progress.step == 1);
  CHECK(!told.empty());
  std::filesystem::remove(newest);
  CHECK(newest_of(newest, tell)->path == before);
}

TEST_CASE_FIXTURE(Run, "none is no error, none whole is") {
  spoil(newest);
  spoil(before);
  CHECK_THROWS_AS(newest_of(newest, tell), Error);
  std::filesystem::remove(newest);
  std::filesystem::remove(before);
  CHECK(!newest_of(newest, tell).has_value());
}

TEST_CASE_FIXTURE(Run, "a damaged newest one does not push out the one before") {
  spoil(newest);
  settle(newest, tell);
  CHECK(verify(newest).step == 1);
  CHECK(!std::filesystem::exists(before));
}

TEST_CASE_FIXTURE(Run, "the newest becomes the one before") {
  const std::string made = folder / "made";
  save_checkpoint(made, 3);
  WholeFile fresh(newest);
  const std::string bytes = contents_of(made);
  write_all(fresh.fd(), bytes.data(), bytes.size());
  install(fresh, newest);
  CHECK(verify(newest).step == 3);
  CHECK(verify(before).step == 2);
}

TEST_CASE_FIXTURE(Run, "the one before goes for its room only beside a whole one") {
  spoil(newest);
  CHECK(!give_up_previous(newest));
  CHECK(verify(before).step == 1);
  save_checkpoint(newest, 2);
  CHECK(give_up_previous(newest));
  CHECK(!std::filesystem::exists(before));
}

}  // namespace lowpeak::trainer
