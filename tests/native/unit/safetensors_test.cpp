#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "trainer/safetensors.h"

#include <doctest/doctest.h>

#include "folder.h"

namespace lowpeak::trainer {
namespace {

const std::int64_t kIds[] = {1, -2, 3};
const float kRow[] = {0.5f, 1.5f};
const std::uint8_t kMask[] = {1, 0, 1};

std::string written() {
  std::string bytes;
  int tensors = 0;
  write_safetensors([&](const void* data, std::size_t size) { bytes.append(static_cast<const char*>(data), size); },
                    {{"mask", dtype_named("bool"), {3}, kMask},
                     {"row", dtype_named("float32"), {1, 2}, kRow},
                     {"ids", dtype_named("int64"), {3}, kIds},
                     {"none", dtype_named("float32"), {0, 5}, kRow}},
                    {{"format", "x\"y"}}, [&] { ++tensors; });
  CHECK(tensors == 4);
  return bytes;
}

// A file with this header, which spaces make a multiple of 8 bytes and `odd` more, and as many bytes of data.
std::string file_of(std::string header, std::size_t bytes, std::size_t odd = 0) {
  header.append((8 - header.size() % 8) % 8 + odd, ' ');
  std::string made(8, '\0');
  for (int i = 0; i < 8; ++i) made[i] = static_cast<char>(header.size() >> 8 * i);
  return made + header + std::string(bytes, '\0');
}

std::string error_of(const std::string& bytes) {
  const Folder folder;
  save(folder / "f", bytes);
  try {
    SafetensorsFile file(folder / "f");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& at) {
  return "\"" + name + R"(": {"dtype": ")" + dtype + R"(", "shape": )" + shape + R"(, "data_offsets": )" + at + "}";
}

}  // namespace

TEST_CASE("what is written is read, whole and in parts") {
  const Folder folder;
  save(folder / "f", written());
  const SafetensorsFile file(folder / "f");
  CHECK(file.metadata().at("format") == "x\"y");
  CHECK(file.entries().size() == 4);
  std::int64_t ids[3];
  file.read(file.entries().at("ids"), ids);
  CHECK(std::equal(ids, ids + 3, kIds));
  file.read(file.entries().at("ids"), ids, 8, 8);
  CHECK(ids[0] == -2);
  float row[2];
  file.read(file.entries().at("row"), row);
  CHECK(row[1] == 1.5f);
  CHECK(file.entries().at("row").shape == std::vector<std::int64_t>{1, 2});
}

TEST_CASE("the widest type comes first, and the data begin at a line of the cache") {
  const std::string bytes = written();
  const std::size_t header = 8 + static_cast<unsigned char>(bytes[0]) + 256 * static_cast<unsigned char>(bytes[1]);
  CHECK(header % 64 == 0);
  CHECK(bytes[header] == 1);
  CHECK(bytes.size() == header + 24 + 8 + 3);
}

TEST_CASE("a cut file is refused wherever it is cut") {
  const std::string bytes = written();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    INFO(size, " bytes");
    CHECK(!error_of(bytes.substr(0, size)).empty());
  }
  CHECK(error_of(bytes).empty());
  CHECK(error_of(bytes + "x") == "it is longer than its tensors");
}

TEST_CASE("each fault of a header has its words") {
  CHECK(error_of(file_of("{" + entry("a", "F32", "[2]", "[0, 8]") + "}", 8)).empty());
  CHECK(error_of(file_of("{" + entry("a", "F32", "[2]", "[0, 8]") + "}", 8, 2)) == "a lies at an odd place");
  CHECK(error_of(file_of("{" + entry("a", "F31", "[2]", "[0, 8]") + "}", 8)) == "a has an unknown element type");
  CHECK(error_of(file_of("{" + entry("a", "F32", "[3]", "[0, 8]") + "}", 8)) == "a has another size than its shape");
  CHECK(error_of(file_of("{" + entry("a", "F32", "[2]", "[0, 16]") + "}", 8)) == "a lies outside of the file");
  CHECK(error_of(file_of("{" + entry("a", "F32", "[2]", "[-8, 0]") + "}", 8)) == "a lies outside of the file");
  CHECK(error_of(file_of("{" + entry("a", "F32", "[-2]", "[0, 8]") + "}", 8)) == "a tensor has an impossible shape");
  CHECK(error_of(file_of("{" + entry("a", "F32", "[4611686018427387904, 4]", "[0, 8]") + "}", 8)) ==
        "a tensor has an impossible shape");
  const std::string twice = "{" + entry("a", "U8", "[8]", "[0, 8]") + "," + entry("b", "U8", "[8]", "[0, 8]") + "}";
  CHECK(error_of(file_of(twice, 8)).find("lie in the same bytes") != std::string::npos);
  const std::string hole = "{" + entry("a", "U8", "[4]", "[0, 4]") + "," + entry("b", "U8", "[2]", "[6, 8]") + "}";
  CHECK(error_of(file_of(hole, 8)).find("leave a hole") != std::string::npos);
}

}  // namespace lowpeak::trainer
