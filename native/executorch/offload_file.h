// The file that values are put away in, and the thread that writes and reads it beside the kernels.
//
//     store   copies the value to the buffer, piece by piece, and returns; it waits while the buffer is full
//     load    asks for a value to be read into its memory
//     wait    returns once that memory holds it
//
// Requests are served in order, so a load sees every store before it; but a load for which there is no piece lets
// a store go first. (Nothing is stored where a load is under way: a value comes back before the next step makes it.)
// Transfers pass the page cache by (O_DIRECT): its copies take time from the kernels, and its pages memory that no
// plan knows of. Where the file system cannot, each piece is pushed to the disk and dropped from the page cache.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace lowpeak {

class OffloadFile {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
  static constexpr std::size_t kPieces = 2;

  // A file without a name in the folder, of `bytes` bytes that are there from now on, rounded up to whole pages: a
  // disk that has no room for them says so here. Throws std::system_error.
  OffloadFile(const std::string& folder, std::int64_t bytes);
  ~OffloadFile();

  OffloadFile(const OffloadFile&) = delete;
  OffloadFile& operator=(const OffloadFile&) = delete;

  // Each is false once the disk has failed, or when the value does not lie inside of the file from a page on.
  bool store(const void* value, std::size_t bytes, std::int64_t offset);
  bool load(void* value, std::size_t bytes, std::int64_t offset);
  bool wait(const void* value);

  // Why they are; empty as long as nothing failed.
  std::string failure();

 private:
  struct Request {
    bool write;
    char* memory;
    std::size_t bytes;
    std::int64_t offset;
  };

  bool inside(std::size_t bytes, std::int64_t offset);
  void serve();
  std::list<Request>::iterator next();
  void serve(const Request& request, char* piece);
  // Whole pages of the file from or into a piece of the buffer.
  void transfer(bool write, char* piece, std::size_t bytes, std::int64_t offset);
  void settle(bool written, std::int64_t offset, std::size_t bytes);

  const std::string folder_;
  const std::int64_t size_;
  const int file_;
  bool direct_;
  std::unique_ptr<char, decltype(&std::free)> buffer_;
  std::mutex mutex_;
  std::condition_variable asked_, served_;
  std::list<Request> queue_;  // one of them is being served
  std::vector<char*> free_;   // pieces of the buffer
  std::string failure_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lowpeak
