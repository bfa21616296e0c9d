// Room on a disk for the whole of a file, before anything relies on it.
#pragma once

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace lowpeak {

// Blocks for the first `bytes` of an open file, which then read as zeros -> 0, or the number of the system's error.
//
// The file system is asked first: one that cannot allocate would be filled to its end to find out.
inline int allocate(int file, std::int64_t bytes) {
  if (bytes <= 0) return 0;
  struct statvfs disk{};
  if (::fstatvfs(file, &disk) != 0) return errno;
  const auto free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (disk.f_blocks > 0 && static_cast<std::uint64_t>(bytes) > free) return ENOSPC;
  int failure = EINTR;
  while (failure == EINTR) failure = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
  if (failure != EOPNOTSUPP && failure != ENOSYS && failure != EINVAL) return failure;
  // Not every C library writes them in its place.
  static constexpr std::int64_t kPiece = 1 << 16;
  static const char kZeros[kPiece] = {};
  for (std::int64_t done = 0; done < bytes;) {
    const auto part = static_cast<std::size_t>(std::min(kPiece, bytes - done));
    const ssize_t written = ::pwrite(file, kZeros, part, static_cast<off_t>(done));
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) done += written;
  }
  return 0;
}

}  // namespace lowpeak
