// The library with the kernels of the lowpeak:: operators: loaded, and told what its kernels need to know.
#pragma once

#include <cstdint>
#include <string>

#include "files.h"

namespace lowpeak::trainer {

// Loads a library whose kernels register themselves. Throws EnvironmentProblem.
void load_operators(const std::string& library);

// A file of `bytes` bytes in the folder, for what programs store and load. Throws EnvironmentProblem when the disk has
// no room for it or no library with offload is loaded.
void open_offload_file(const std::string& folder, std::int64_t bytes);

// What went wrong when values were stored or loaded; empty if nothing.
std::string offload_failure();

// The kernels give pages of this file back once they have read them, if the library knows how.
void weights_are_mapped(const Mapping& weights);

}  // namespace lowpeak::trainer
