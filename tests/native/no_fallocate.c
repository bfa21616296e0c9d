// For LD_PRELOAD: a C library that leaves it at that where the file system cannot allocate, as Android's does.
#include <errno.h>
#include <sys/types.h>

int posix_fallocate(int file, off_t begin, off_t bytes) {
  (void)file, (void)begin, (void)bytes;
  return EOPNOTSUPP;
}
