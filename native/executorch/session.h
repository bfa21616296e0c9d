// What the kernels of one session share beyond a call's arguments: the file that its programs put values away in, and
// the mapped files whose pages they give back. Sessions of a process know nothing of each other.
//
// ExecuTorch gives a kernel its arguments, a tracer and an allocator, and nothing of the caller's. So a call belongs to
// the session that its thread is in: who executes a program enters the session before and leaves it after (exports.h).
// Threads of the pool are in none; what they need of a session is captured by the kernel that gives them work.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "executorch/offload_file.h"
#include "executorch/pages.h"

namespace lowpeak {

class Session {
 public:
  // The calling thread's. Outside of all it is one without a file and without pages.
  static const Session& current();
  // From now on the calling thread is in it, or in none -> the one it was in.
  static Session* enter(Session* session);

  // Null until it is opened.
  OffloadFile* offload_file() const { return offload_file_.get(); }
  const Pages& pages() const { return pages_; }
  Pages& pages() { return pages_; }

  // In place of one that is open. Throws std::system_error, std::bad_alloc.
  void open_offload_file(const std::string& folder, std::int64_t bytes);
  void close_offload_file() { offload_file_.reset(); }

  // Words for a caller in C: valid until the next ones.
  const char* say(std::string words);

 private:
  Pages pages_;
  std::unique_ptr<OffloadFile> offload_file_;
  std::string said_;
};

}  // namespace lowpeak
