#include "folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "error.h"

namespace lowpeak::trainer {

FolderLock::FolderLock(const std::string& folder) {
  try {
    descriptor_ = Descriptor::open(folder, O_RDONLY | O_DIRECTORY);
    if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK) throw SystemError();
  } catch (const SystemError& error) {
    throw environment_problem("the folder " + folder + " cannot be opened: " + error.what());
  }
  throw artifact_error("another process still trains into " + folder +
                       ": wait for its end, or give a new folder");
}

}  // namespace lowpeak::trainer
