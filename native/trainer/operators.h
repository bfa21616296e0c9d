// The library with the kernels of the lowpeak:: operators: loaded, and told what its kernels need to know.
#pragma once

#include <cstdint>
#include <string>

#include "trainer/files.h"

namespace lowpeak {
class Session;
}

namespace lowpeak::trainer {

// Loads a library whose kernels register themselves. Throws EnvironmentProblem.
void load_operators(const std::string& library);

// What the kernels keep for the programs of one run; another run of the process has its own. Without a loaded library
// that has sessions there is nothing to keep.
class KernelSession {
 public:
  KernelSession();
  ~KernelSession();
  KernelSession(const KernelSession&) = delete;
  KernelSession& operator=(const KernelSession&) = delete;

  // What went wrong when values were stored or loaded; empty if nothing.
  std::string offload_failure() const;

 private:
  friend class OffloadFile;
  friend class Paged;
  friend class InSession;
  lowpeak::Session* const session_;  // null without a library
};

// While it exists, the calling thread executes programs in the session.
class InSession {
 public:
  explicit InSession(const KernelSession& session);
  ~InSession();
  InSession(const InSession&) = delete;
  InSession& operator=(const InSession&) = delete;

 private:
  lowpeak::Session* const before_;
};

// The session's file for what programs store and load; once it is closed, nothing is read into their memory any more.
class OffloadFile {
 public:
  // Of `bytes` bytes in the folder. Throws EnvironmentProblem when the disk has no room for it or no library with
  // offload is loaded.
  OffloadFile(const KernelSession& session, const std::string& folder, std::int64_t bytes);
  ~OffloadFile();
  OffloadFile(const OffloadFile&) = delete;
  OffloadFile& operator=(const OffloadFile&) = delete;

 private:
  lowpeak::Session* const session_;
};

// Products a second on the threads that there are now, measured for about `seconds`; 0 if no loaded library can tell.
double products_per_second(double seconds);

// While it exists, instructions of the session's programs give back pages of the mapped file.
class Paged {
 public:
  Paged(const KernelSession& session, const Mapping& file);
  ~Paged();
  Paged(const Paged&) = delete;
  Paged& operator=(const Paged&) = delete;

 private:
  lowpeak::Session* const session_;
  const void* const begin_;
};

}  // namespace lowpeak::trainer
