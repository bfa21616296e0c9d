// What a fuzzer is given, as a file; and the end of a reader that refuses it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/json.h"

namespace lowpeak::fuzz {

// In memory, gone with the object.
class InputFile {
 public:
  InputFile(const std::uint8_t* data, std::size_t size) : file_(::memfd_create("input", MFD_CLOEXEC)) {
    trainer::write_all(file_.get(), data, size);
  }

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

 private:
  const trainer::Descriptor file_;
};

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A reader may refuse what it is given, by an exception with words in it.
template <typename Read>
int refused_or_read(const Read& read) {
  try {
    read();
  } catch (const std::exception& error) {
    if (*error.what() == '\0') std::abort();
  }
  return 0;
}

// The artifact of the test, in a folder that the environment names.
inline std::string folder() {
  const char* found = std::getenv("LOWPEAK_FUZZ_FOLDER");
  if (found == nullptr) throw std::runtime_error("LOWPEAK_FUZZ_FOLDER is to name the folder of tests/fuzz/seeds.py");
  return found;
}

}  // namespace lowpeak::fuzz
