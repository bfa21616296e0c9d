#include "trainer/operators.h"

#include <dlfcn.h>

#include "executorch/exports.h"
#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

// A function that a loaded library may have; null if none has.
template <typename Function>
Function* exported(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

void load_operators(const std::string& library) {
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    throw environment_problem("the operators in " + library + " cannot be loaded: " + ::dlerror());
  }
}

KernelSession::KernelSession()
    : session_([] {
        auto* open = exported<decltype(lowpeak_session_open)>("lowpeak_session_open");
        return open == nullptr ? nullptr : open();
      }()) {}

KernelSession::~KernelSession() {
  auto* close = exported<decltype(lowpeak_session_close)>("lowpeak_session_close");
  if (session_ != nullptr) close(session_);
}

std::string KernelSession::offload_failure() const {
  auto* failure = exported<decltype(lowpeak_session_offload_failure)>("lowpeak_session_offload_failure");
  return session_ == nullptr ? "" : failure(session_);
}

InSession::InSession(const KernelSession& session)
    : before_([&] {
        auto* enter = exported<decltype(lowpeak_session_enter)>("lowpeak_session_enter");
        return enter == nullptr ? nullptr : enter(session.session_);
      }()) {}

InSession::~InSession() {
  if (auto* enter = exported<decltype(lowpeak_session_enter)>("lowpeak_session_enter")) enter(before_);
}

OffloadFile::OffloadFile(const KernelSession& session, const std::string& folder, std::int64_t bytes)
    : session_(session.session_) {
  if (session_ == nullptr) {
    throw environment_problem(
        "the artifact puts values into a file, which only lowpeak's operators can: give their "
        "library with --ops-library");
  }
  auto* open = exported<decltype(lowpeak_session_offload_open)>("lowpeak_session_offload_open");
  if (const char* problem = open(session_, folder.c_str(), bytes)) {
    const std::string size = std::to_string(bytes);
    throw environment_problem("the offload file of " + size + " bytes cannot be kept in " + folder + ": " + problem +
                                  "; free " + size + " bytes or give another folder",
                              {{"bytes", bytes}});
  }
}

OffloadFile::~OffloadFile() {
  exported<decltype(lowpeak_session_offload_close)>("lowpeak_session_offload_close")(session_);
}

double products_per_second(double seconds) {
  auto* measure = exported<decltype(lowpeak_products_per_second)>("lowpeak_products_per_second");
  return measure == nullptr ? 0 : measure(seconds);
}

Paged::Paged(const KernelSession& session, const Mapping& file) : session_(session.session_), begin_(file.data()) {
  auto* tell = exported<decltype(lowpeak_session_pages_mapped)>("lowpeak_session_pages_mapped");
  if (session_ != nullptr) tell(session_, begin_, static_cast<std::int64_t>(file.size()));
}

Paged::~Paged() {
  auto* tell = exported<decltype(lowpeak_session_pages_unmapped)>("lowpeak_session_pages_unmapped");
  if (session_ != nullptr) tell(session_, begin_);
}

}  // namespace lowpeak::trainer
