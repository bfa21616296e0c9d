// The file that values are put away in, and the thread that writes and reads it beside the kernels.
//
//     store   copies the value to the buffer, piece by piece, and returns; it waits while the buffer is full
//     load    asks for a value to be read into its memory
//     wait    returns once that memory holds it
//
// Requests are served in order, so a load sees every store before it. What was written is pushed to the disk and,
// like what was read, dropped from the page cache: memory stays what the plan says.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace lowpeak {

class OffloadFile {
 public:
  static constexpr std::size_t piece_bytes = std::size_t{1} << 20;
  static constexpr std::size_t pieces = 2;

  // A file without a name in the folder, of `bytes` bytes that are there from now on: a disk that has no room for
  // them says so here. Throws std::system_error.
  OffloadFile(const std::string& folder, std::int64_t bytes);
  ~OffloadFile();

  OffloadFile(const OffloadFile&) = delete;
  OffloadFile& operator=(const OffloadFile&) = delete;

  // Each is false once the disk has failed, or when the value lies outside of the file.
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
  void transfer(const Request& request);
  void settle(std::int64_t offset, std::size_t bytes);

  const int file_;
  const std::int64_t size_;
  std::vector<char> buffer_;
  std::mutex mutex_;
  std::condition_variable asked_, served_;
  std::deque<Request> queue_;          // the first is being served
  std::vector<char*> free_;            // pieces of the buffer
  std::string failure_;
  bool ending_ = false;
  std::thread thread_;
};

// The file of this process's programs; null until it is opened.
OffloadFile* offload_file();

}  // namespace lowpeak

extern "C" {

// Opens the process's offload file, in place of one that is open. Null, or what went wrong, valid until the next
// call.
const char* lowpeak_offload_open(const char* folder, std::int64_t bytes);

// What went wrong in a store or load; empty if nothing.
const char* lowpeak_offload_failure();
}
