#include "executorch/offload_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

#include "executorch/allocate.h"

namespace lowpeak {
namespace {

// Of the plan, not of the machine: places in the file are multiples of it.
constexpr std::size_t kPageBytes = 4096;

template <typename Integer>
constexpr Integer whole_pages(Integer bytes) {
  constexpr auto kPage = static_cast<Integer>(kPageBytes);
  return (bytes + kPage - 1) / kPage * kPage;
}

int unnamed_file(const std::string& folder, std::int64_t bytes) {
  std::string path = folder + "/offload-XXXXXX";
  const int file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file < 0) throw std::system_error(errno, std::generic_category());
  ::unlink(path.c_str());
  if (const int failure = allocate(file, bytes)) {
    ::close(file);
    throw std::system_error(failure, std::generic_category());
  }
  return file;
}

void* aligned_memory(std::size_t bytes) {
  void* memory = nullptr;
  return ::posix_memalign(&memory, kPageBytes, bytes) == 0 ? memory : nullptr;
}

// Whether transfers of whole pages pass the page cache by from now on.
bool past_the_page_cache(int file, bool wanted) {
#ifdef O_DIRECT
  const int flags = ::fcntl(file, F_GETFL);
  return ::fcntl(file, F_SETFL, wanted ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && wanted;
#else
  return false;
#endif
}

}  // namespace

OffloadFile::OffloadFile(const std::string& folder, std::int64_t bytes)
    : folder_(folder),
      size_(whole_pages(bytes)),
      file_(unnamed_file(folder, size_)),
      direct_(past_the_page_cache(file_, true)),
      buffer_(static_cast<char*>(aligned_memory(kPieceBytes * kPieces)), &std::free) {
  if (!buffer_) throw std::bad_alloc();
  for (std::size_t i = 0; i < kPieces; ++i) free_.push_back(buffer_.get() + i * kPieceBytes);
  thread_ = std::thread([this] { serve(); });
}

OffloadFile::~OffloadFile() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  asked_.notify_all();
  thread_.join();
  ::close(file_);
}

bool OffloadFile::inside(std::size_t bytes, std::int64_t offset) {
  const bool at_page = offset % static_cast<std::int64_t>(kPageBytes) == 0;
  if (offset >= 0 && at_page && static_cast<std::int64_t>(bytes) <= size_ - offset) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  failure_ = std::to_string(bytes) + " bytes at " + std::to_string(offset) + " are not " +
             (at_page ? "inside of" : "at a page of") + " the offload file of " + std::to_string(size_) + " bytes";
  return false;
}

bool OffloadFile::store(const void* value, std::size_t bytes, std::int64_t offset) {
  if (!inside(bytes, offset)) return false;
  const char* from = static_cast<const char*>(value);
  for (std::size_t done = 0; done < bytes;) {
    const std::size_t part = std::min(kPieceBytes, bytes - done);
    char* piece = nullptr;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      served_.wait(lock, [this] { return !free_.empty() || !failure_.empty(); });
      if (!failure_.empty()) return false;
      piece = free_.back();
      free_.pop_back();
    }
    std::memcpy(piece, from + done, part);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back({true, piece, part, offset + static_cast<std::int64_t>(done)});
    }
    asked_.notify_one();
    done += part;
  }
  return true;
}

bool OffloadFile::load(void* value, std::size_t bytes, std::int64_t offset) {
  if (!inside(bytes, offset)) return false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_.empty()) return false;
    queue_.push_back({false, static_cast<char*>(value), bytes, offset});
  }
  asked_.notify_one();
  return true;
}

bool OffloadFile::wait(const void* value) {
  std::unique_lock<std::mutex> lock(mutex_);
  served_.wait(lock, [&] {
    const auto here = [&](const Request& request) { return !request.write && request.memory == value; };
    return !failure_.empty() || std::none_of(queue_.begin(), queue_.end(), here);
  });
  return failure_.empty();
}

std::string OffloadFile::failure() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void OffloadFile::serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    asked_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (ending_) return;
    const auto request = next();
    char* piece = request->memory;
    if (!request->write) {
      piece = free_.back();
      free_.pop_back();
    }
    lock.unlock();
    std::string problem;
    try {
      serve(*request, piece);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    lock.lock();
    if (failure_.empty()) failure_ = problem;
    queue_.erase(request);
    free_.push_back(piece);
    served_.notify_all();
  }
}

// Without a free piece all but the one that is being filled wait in the queue to be written.
std::list<OffloadFile::Request>::iterator OffloadFile::next() {
  const auto first = queue_.begin();
  if (first->write || !free_.empty()) return first;
  return std::find_if(first, queue_.end(), [](const Request& request) { return request.write; });
}

void OffloadFile::serve(const Request& request, char* piece) {
  if (request.write) {
    transfer(true, piece, whole_pages(request.bytes), request.offset);
    return;
  }
  for (std::size_t done = 0; done < request.bytes; done += kPieceBytes) {
    const std::size_t part = std::min(kPieceBytes, request.bytes - done);
    transfer(false, piece, whole_pages(part), request.offset + static_cast<std::int64_t>(done));
    std::memcpy(request.memory + done, piece, part);
  }
}

void OffloadFile::transfer(bool write, char* piece, std::size_t bytes, std::int64_t offset) {
  for (std::size_t done = 0; done < bytes;) {
    const off_t place = static_cast<off_t>(offset + static_cast<std::int64_t>(done));
    const ssize_t moved =
        write ? ::pwrite(file_, piece + done, bytes - done, place) : ::pread(file_, piece + done, bytes - done, place);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0 && errno == EINVAL && direct_) {
      // The disk's blocks are larger than a page.
      direct_ = past_the_page_cache(file_, false);
      continue;
    }
    if (moved < 0) throw std::system_error(errno, std::generic_category(), "the offload file in " + folder_);
    if (moved == 0) throw std::runtime_error("the offload file in " + folder_ + " ends early");
    if (!direct_) settle(write, place, static_cast<std::size_t>(moved));
    done += static_cast<std::size_t>(moved);
  }
}

// Out of the page cache, to the disk first: dirty pages count against a memory limit and are written when the system
// wants, which is when it is short of memory.
void OffloadFile::settle(bool written, std::int64_t offset, std::size_t bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  if (written) {
    ::sync_file_range(file_, offset, static_cast<off_t>(bytes),
                      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
#endif
  ::posix_fadvise(file_, offset, static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
}

}  // namespace lowpeak
