#include "trainer/room.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <limits>

#include "executorch/allocate.h"
#include "trainer/error.h"
#include "trainer/files.h"

namespace lowpeak::trainer {
namespace {

// Of linux/magic.h, which not every C library brings.
constexpr unsigned long kTmpfs = 0x01021994, kRamfs = 0x858458f6;

// Without a name, so nothing is left of it whatever happens.
Descriptor trial_file(const std::string& folder) {
  std::string path = folder + "/.lowpeak-room-XXXXXX";
  Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.get() < 0) throw SystemError();
  ::unlink(path.c_str());
  return file;
}

bool in_memory(const std::string& folder) {
  struct statfs disk{};
  if (::statfs(folder.c_str(), &disk) != 0) return false;
  const auto kind = static_cast<unsigned long>(disk.f_type) & 0xffffffffUL;
  return kind == kTmpfs || kind == kRamfs;
}

}  // namespace

void require_room(const std::string& folder, const std::vector<std::int64_t>& files, const std::string& what,
                  std::int64_t times) {
  std::int64_t needed = 0;
  for (const std::int64_t bytes : files) needed += bytes;
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  needed = needed > 0 && times > kMost / needed ? kMost : needed * times;
  const std::optional<std::int64_t> free = free_bytes(folder);
  try {
    if (free && *free < needed) throw SystemError(ENOSPC);
    std::vector<Descriptor> made;
    made.push_back(trial_file(folder));
    write_all(made.back().get(), "trial", 5);
    if (::fsync(made.back().get()) != 0) throw SystemError();
    for (const std::int64_t bytes : files) {
      made.push_back(trial_file(folder));
      // In memory the blocks would be what is short there.
      const int failure = in_memory(folder) ? 0 : allocate(made.back().get(), bytes);
      if (failure != 0) throw SystemError(failure);
    }
  } catch (const SystemError& error) {
    throw environment_problem(std::to_string(needed) + " bytes for " + what + " cannot be written to " + folder + ": " +
                                  error.what() + (free ? ", " + std::to_string(*free) + " bytes are free" : "") +
                                  "; free room there, or give another folder",
                              {{"needed_bytes", needed}, {"free_bytes", free.value_or(0)}});
  }
}

std::optional<std::int64_t> free_bytes(const std::string& folder) {
  struct statvfs disk{};
  if (::statvfs(folder.c_str(), &disk) != 0 || disk.f_blocks == 0) return std::nullopt;
  return static_cast<std::int64_t>(disk.f_bavail) * static_cast<std::int64_t>(disk.f_frsize);
}

std::optional<std::string> told_of_memory(const std::string& folder) {
  if (!in_memory(folder)) return std::nullopt;
  return "the folder for temporary files, " + folder +
         ", is in memory (tmpfs): what is kept there takes the memory that the budget is about. Give one on a disk";
}

}  // namespace lowpeak::trainer
