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
    CHECK(progress.options == "{\"schedule\": \"cosine\"}");
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

}  // namespace lowpeak::trainer
