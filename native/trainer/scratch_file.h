// Memory that is a file on a disk: the system can write its pages out, and this process give them back.
#pragma once

#include <string>

#include "trainer/files.h"

namespace lowpeak::trainer {

// Zeros. The file has no name, so nothing is left of it whatever happens. `what` is for the message. Throws
// EnvironmentProblem when the disk has no room.
Mapping scratch_file(const std::string& folder, std::size_t bytes, const std::string& what);

}  // namespace lowpeak::trainer
