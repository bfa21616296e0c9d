#include "trainer/files.h"

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

Descriptor Descriptor::regular(const std::string& path) {
  Descriptor file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw SystemError();
  if (S_ISDIR(status.st_mode)) throw SystemError(EISDIR);
  if (!S_ISREG(status.st_mode)) throw SystemError(EINVAL, "it is no regular file");
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
  const Descriptor file = Descriptor::regular(path);
  Mapping made;
  made.size_ = size_of(file.get());
  made.data_ = map(file.get(), made.size_, PROT_READ, MAP_PRIVATE);
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
  // A huge page takes all of its memory for the first byte of it; see refuse_huge_pages in memory.h.
  if (size > 0) ::madvise(made.data_, size, MADV_NOHUGEPAGE);
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
  static const auto kPage = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<std::uintptr_t>(data), begin = from / kPage * kPage;
  // It is advice: what comes of it changes no result.
  ::madvise(reinterpret_cast<void*>(begin), from - begin + size, MADV_WILLNEED);
}

std::size_t size_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw SystemError();
  return static_cast<std::size_t>(status.st_size);
}

void read_at(int fd, void* to, std::size_t bytes, std::size_t offset) {
  auto* next = static_cast<std::uint8_t*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(fd, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError();
    if (got == 0) throw std::runtime_error("the file ends early: another process has made it shorter");
    next += got;
    offset += static_cast<std::size_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

std::string read_text(const std::string& path, std::size_t most) {
  const Descriptor file = Descriptor::regular(path);
  std::string text;
  char piece[1 << 14];
  while (true) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError();
    if (got == 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
    if (text.size() > most) throw SystemError(EFBIG, "it has more than " + std::to_string(most) + " bytes");
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

void sync_folder(const std::string& folder) { sync(Descriptor::open(folder, O_RDONLY | O_DIRECTORY).get()); }

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool file_exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace lowpeak::trainer
