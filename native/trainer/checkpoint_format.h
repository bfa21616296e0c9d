// The file of a checkpoint: a safetensors file with a checksum of all its bytes, as
// lowpeak_runtime/train/checkpoint_format.py has it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "trainer/fingerprint.h"
#include "trainer/safetensors.h"
#include "trainer/sha256.h"

namespace lowpeak::trainer {

// Where a run is, and what it must not change in order to continue.
struct Progress {
  std::string artifact;  // Manifest::id
  std::int64_t step;     // updates made
  std::int64_t seed;
  std::string fingerprint;  // of the options
  OptionFields options;     // to name what differs
  std::string data;         // SHA-256 of what is trained on
  std::int64_t position;    // where the last step ended in the order of the data

  bool same_run(const Progress& other) const {
    return artifact == other.artifact && seed == other.seed && fingerprint == other.fingerprint && data == other.data;
  }
};

// What is wrong with a file, in a few words.
class Damaged : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Of a file that is still to get its checksum.
std::vector<std::pair<std::string, std::string>> metadata_of(const Progress& progress);

// Writes to a file, from its first byte on; `finish` writes the checksum in.
class Checksummed {
 public:
  explicit Checksummed(int fd) : fd_(fd) {}
  void write(const void* data, std::size_t size);  // throws SystemError
  void finish();                                   // throws SystemError

 private:
  int fd_;
  Sha256 digest_;
};

// By the header alone. Throws Damaged; ArtifactError for a file of another version of lowpeak.
Progress read_header(const std::string& path);

// Reads every byte once, in pieces. Throws as `read_header`.
Progress verify(const std::string& path);

}  // namespace lowpeak::trainer
