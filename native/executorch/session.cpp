#include "executorch/session.h"

#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "executorch/exports.h"

namespace lowpeak {
namespace {

thread_local Session* entered = nullptr;

}  // namespace

const Session& Session::current() {
  static const Session kNone;
  return entered == nullptr ? kNone : *entered;
}

Session* Session::enter(Session* session) { return std::exchange(entered, session); }

void Session::open_offload_file(const std::string& folder, std::int64_t bytes) {
  offload_file_.reset();
  offload_file_ = std::make_unique<OffloadFile>(folder, bytes);
}

const char* Session::say(std::string words) {
  said_ = std::move(words);
  return said_.c_str();
}

}  // namespace lowpeak

lowpeak::Session* lowpeak_session_open() { return new (std::nothrow) lowpeak::Session; }

void lowpeak_session_close(lowpeak::Session* session) { delete session; }

lowpeak::Session* lowpeak_session_enter(lowpeak::Session* session) { return lowpeak::Session::enter(session); }

const char* lowpeak_session_offload_open(lowpeak::Session* session, const char* folder, std::int64_t bytes) {
  try {
    session->open_offload_file(folder, bytes);
    return nullptr;
  } catch (const std::system_error& error) {
    return session->say(std::strerror(error.code().value()));
  } catch (const std::exception& error) {
    return session->say(error.what());
  }
}

void lowpeak_session_offload_close(lowpeak::Session* session) { session->close_offload_file(); }

const char* lowpeak_session_offload_failure(lowpeak::Session* session) {
  lowpeak::OffloadFile* file = session->offload_file();
  return session->say(file == nullptr ? "" : file->failure());
}

void lowpeak_session_pages_mapped(lowpeak::Session* session, const void* begin, std::int64_t bytes) {
  session->pages().add(begin, bytes);
}

void lowpeak_session_pages_unmapped(lowpeak::Session* session, const void* begin) { session->pages().remove(begin); }
