// One process at a time trains into a folder.
#pragma once

#include <string>

#include "files.h"

namespace lowpeak::trainer {

class FolderLock {
 public:
  // Throws ArtifactError when another process holds it, EnvironmentProblem when there is no such folder.
  explicit FolderLock(const std::string& folder);

 private:
  Descriptor descriptor_;
};

}  // namespace lowpeak::trainer
