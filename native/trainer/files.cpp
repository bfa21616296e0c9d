#include "files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lowpeak::trainer {

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor Descriptor::open(const std::string& path, int flags, int mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw SystemError();
  return Descriptor(fd);
}

Descriptor Descriptor::open_file(const std::string& path) {
  // A pipe without a writer would block here.
  Descriptor file = open(path, O_RDONLY | O_NONBLOCK);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw SystemError();
  if (!S_ISREG(status.st_mode)) throw SystemError(S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
  return file;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

namespace {

std::uint8_t* map(int fd, std::size_t size, int protection, int flags) {
  if (size == 0) return nullptr;
  void* mapped = ::mmap(nullptr, size, protection, flags, fd, 0);
  if (mapped == MAP_FAILED) throw SystemError();
  return static_cast<std::uint8_t*>(mapped);
}

}  // namespace

Mapping Mapping::of_file(const std::string& path) {
  const Descriptor file = Descriptor::open(path, O_RDONLY);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw SystemError();
  if (S_ISDIR(status.st_mode)) throw SystemError(EISDIR);
  Mapping made;
  made.data_ = map(file.get(), static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE);
  made.size_ = static_cast<std::size_t>(status.st_size);
  return made;
}

Mapping Mapping::shared(int fd, std::size_t size) {
  Mapping made;
  made.data_ = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
  made.size_ = size;
  return made;
}

Mapping Mapping::anonymous(std::size_t size) {
  Mapping made;
  made.data_ = map(-1, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  made.size_ = size;
  return made;
}

void Mapping::release() const {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_DONTNEED);
}

void Mapping::expect_requests() const {
  if (data_ != nullptr) ::madvise(data_, size_, MADV_RANDOM);
}

void read_ahead(const void* data, std::size_t size) {
  if (size == 0) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<std::uintptr_t>(data), begin = from / page * page;
  // It is advice: what comes of it changes no result.
  ::madvise(reinterpret_cast<void*>(begin), from - begin + size, MADV_WILLNEED);
}

std::string read_text(const std::string& path) {
  const Descriptor file = Descriptor::open_file(path);
  std::string text;
  char piece[1 << 14];
  while (true) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError();
    if (got == 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
  }
}

void write_all(int fd, const void* data, std::size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw SystemError();
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void sync(int fd) {
  // A signal may come while the disk is waited for.
  while (::fsync(fd) != 0) {
    if (errno != EINTR) throw SystemError();
  }
}

void sync_folder(const std::string& folder) {
  sync(Descriptor::open(folder, O_RDONLY | O_DIRECTORY).get());
}

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace lowpeak::trainer
