// Files: descriptors that close themselves, whole texts, mappings.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace lowpeak::trainer {

// The error of the last system call; `what()` of it is Python's `strerror`.
class SystemError : public std::runtime_error {
 public:
  explicit SystemError(int number = errno) : SystemError(number, std::strerror(number)) {}
  SystemError(int number, const std::string& what) : std::runtime_error(what), number(number) {}
  const int number;
};

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  // As open(2). Throws SystemError.
  static Descriptor open(const std::string& path, int flags, int mode = 0644);

  // Of a regular file, to read: a pipe or a device is neither waited for nor read. Throws SystemError.
  static Descriptor regular(const std::string& path);

  int get() const { return fd_; }

 private:
  int fd_;
};

// A file's bytes or anonymous zeros in the address space, unlocked; gone with the object.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  static Mapping of_file(const std::string& path);  // read only; throws SystemError
  static Mapping shared(int fd, std::size_t size);  // writes reach the file; throws SystemError
  static Mapping anonymous(std::size_t size);       // of small pages; throws SystemError

  std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

  // Takes the pages of a file out of this process; their contents stay in the file.
  void release() const;

  // Tells that pages are asked for before they are used: none is read beside one that is.
  void expect_requests() const;

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// What is read as a whole, a job or a manifest, is far smaller.
constexpr std::size_t kMostText = 16 << 20;

// Starts to read the pages of a mapped file, and returns at once.
void read_ahead(const void* data, std::size_t size);

std::size_t size_of(int fd);  // of a file, in bytes; throws SystemError

// Reads all of the bytes at `offset`. Throws SystemError, and std::runtime_error where the file ends before.
void read_at(int fd, void* to, std::size_t bytes, std::size_t offset);

// A whole file of at most so many bytes. Throws SystemError, also for a longer one and for what is no regular file.
std::string read_text(const std::string& path, std::size_t most = kMostText);

void write_all(int fd, const void* data, std::size_t size);  // throws SystemError

// What was written to the file survives a power failure. Throws SystemError.
void sync(int fd);

// Makes a rename in the folder survive a power failure. Throws SystemError.
void sync_folder(const std::string& folder);

// "a/b/c" -> "a/b"; "c" -> "."
std::string parent_of(const std::string& path);

bool file_exists(const std::string& path);

}  // namespace lowpeak::trainer
