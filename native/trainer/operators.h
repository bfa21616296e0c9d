// The library with the kernels of the lowpeak:: operators: loaded, and told what its kernels need to know.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/files.h"

namespace lowpeak::trainer {

// Loads a library whose kernels register themselves. Throws EnvironmentProblem.
void load_operators(const std::string& library);

// The file for what programs store and load; once it is closed, nothing is read into their memory any more.
class OffloadFile {
 public:
  // Of `bytes` bytes in the folder. Throws EnvironmentProblem when the disk has no room for it or no library with
  // offload is loaded.
  OffloadFile(const std::string& folder, std::int64_t bytes);
  ~OffloadFile();
  OffloadFile(const OffloadFile&) = delete;
  OffloadFile& operator=(const OffloadFile&) = delete;
};

// What went wrong when values were stored or loaded; empty if nothing.
std::string offload_failure();

// Products a second on the threads that there are now, measured for about `seconds`; 0 if no loaded library can tell.
double products_per_second(double seconds);

// While it exists, a program's instructions give back pages of the mapped file, if the library knows how.
class Paged {
 public:
  explicit Paged(const Mapping& file);
  ~Paged();
  Paged(const Paged&) = delete;
  Paged& operator=(const Paged&) = delete;

 private:
  const void* const begin_;
};

}  // namespace lowpeak::trainer
