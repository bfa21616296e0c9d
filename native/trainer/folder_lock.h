// One process at a time trains into a folder.
#pragma once

#include <string>

#include "trainer/files.h"

namespace lowpeak::trainer {

class FolderLock {
 public:
  // `inherited`: the folder as the program that started this one has opened and locked it, or -1; the two then hold
  // the one lock together, until both have ended. Throws ArtifactError when another process holds it,
  // EnvironmentProblem when there is no such folder.
  explicit FolderLock(const std::string& folder, int inherited = -1);

 private:
  Descriptor descriptor_;
};

}  // namespace lowpeak::trainer
