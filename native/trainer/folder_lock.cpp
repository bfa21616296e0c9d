#include "trainer/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <fstream>

#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

struct stat status_of(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) throw SystemError();
  return status;
}

// " (process 123)" for the one that holds the lock, where the system tells.
std::string holder(int descriptor) {
  const struct stat status = status_of(descriptor);
  char place[64];
  std::snprintf(place, sizeof place, " %02x:%02x:%llu ", major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    int process = 0;
    if (line.find(place) == std::string::npos || line.find("->") != std::string::npos) continue;
    if (std::sscanf(line.c_str(), "%*d: FLOCK %*s %*s %d", &process) == 1 && process > 0) {
      return " (process " + std::to_string(process) + ")";
    }
  }
  return "";
}

Descriptor opened(const std::string& folder, int inherited) {
  Descriptor own = Descriptor::open(folder, O_RDONLY | O_DIRECTORY);
  if (inherited < 0) return own;
  const struct stat here = status_of(own.get()), there = status_of(inherited);
  if (here.st_dev != there.st_dev || here.st_ino != there.st_ino) {
    throw environment_problem("the descriptor " + std::to_string(inherited) + " is not of the folder " + folder);
  }
  if (::fcntl(inherited, F_SETFD, FD_CLOEXEC) != 0) throw SystemError();
  return Descriptor(inherited);
}

}  // namespace

FolderLock::FolderLock(const std::string& folder, int inherited) {
  try {
    descriptor_ = opened(folder, inherited);
    if (::flock(descriptor_.get(), LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK) throw SystemError();
  } catch (const SystemError& error) {
    throw environment_problem("the folder " + folder + " cannot be opened: " + error.what());
  }
  throw artifact_error("another process" + holder(descriptor_.get()) + " still trains into " + folder +
                       ": wait for its end, or give a new folder");
}

}  // namespace lowpeak::trainer
