#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "executorch/session.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "executorch/exports.h"
#include "folder.h"

namespace lowpeak {
namespace {

constexpr std::int64_t kBytes = 3 << 20;  // more than the buffer of an offload file holds

using Values = std::vector<std::uint8_t>;

void put_away(std::uint8_t value) {
  const Values values(kBytes, value);
  REQUIRE(Session::current().offload_file()->store(values.data(), values.size(), 0));
}

Values brought_back() {
  Values values(kBytes);
  OffloadFile* file = Session::current().offload_file();
  REQUIRE(file->load(values.data(), values.size(), 0));
  REQUIRE(file->wait(values.data()));
  return values;
}

// The calling thread's while it exists.
class Entered {
 public:
  explicit Entered(Session& session) : before_(Session::enter(&session)) {}
  ~Entered() { Session::enter(before_); }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  Session* before_;
};

}  // namespace

TEST_CASE("outside of all sessions there is no file") {
  CHECK(Session::current().offload_file() == nullptr);
  Session session;
  {
    const Entered entered(session);
    CHECK(&Session::current() == &session);
    std::thread([] { CHECK(Session::current().offload_file() == nullptr); }).join();
  }
  CHECK(&Session::current() != &session);
}

TEST_CASE("two sessions by turns on one thread each have their own file") {
  const Folder folder;
  Session first, second;
  for (Session* session : {&first, &second}) session->open_offload_file(folder / "", kBytes);
  {
    const Entered in_first(first);
    put_away(1);
    {
      const Entered in_second(second);
      put_away(2);
      second.close_offload_file();
      CHECK(Session::current().offload_file() == nullptr);
    }
    CHECK(brought_back() == Values(kBytes, 1));
  }
}

TEST_CASE("two sessions on two threads at once each have their own file") {
  const Folder folder;
  const auto run = [&](std::uint8_t value) {
    Session session;
    session.open_offload_file(folder / "", kBytes);
    const Entered entered(session);
    for (int step = 0; step < 3; ++step) {
      put_away(value);
      if (brought_back() != Values(kBytes, value)) return false;
    }
    return true;
  };
  bool other = false;
  std::thread thread([&] { other = run(2); });
  CHECK(run(1));
  thread.join();
  CHECK(other);
}

TEST_CASE("one session after the other begins anew") {
  const Folder folder;
  for (const std::uint8_t value : {std::uint8_t{1}, std::uint8_t{2}}) {
    Session session;
    session.open_offload_file(folder / "", kBytes);
    const Entered entered(session);
    CHECK(brought_back() == Values(kBytes, 0));
    put_away(value);
    CHECK(brought_back() == Values(kBytes, value));
  }
}

TEST_CASE("a failure is that of its session") {
  const Folder folder;
  Session first, second;
  for (Session* session : {&first, &second}) session->open_offload_file(folder / "", kBytes);
  std::uint8_t value = 0;
  CHECK(!first.offload_file()->store(&value, 1, 1));
  CHECK(lowpeak_session_offload_failure(&first) == std::string("1 bytes at 1 are not at a page of the offload file of "
                                                               "3145728 bytes"));
  CHECK(lowpeak_session_offload_failure(&second) == std::string());
}

TEST_CASE("the functions for C say what went wrong") {
  const Folder folder;
  Session* session = lowpeak_session_open();
  CHECK(lowpeak_session_offload_open(session, (folder / "missing").c_str(), 1) ==
        std::generic_category().message(ENOENT));
  CHECK(lowpeak_session_offload_failure(session) == std::string());
  CHECK(lowpeak_session_enter(session) == nullptr);
  CHECK(lowpeak_session_enter(nullptr) == session);
  lowpeak_session_close(session);
}

TEST_CASE("pages are given back of files that the session knows, and of no others") {
  const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) * 4;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  // A private page without a file is zeros once it was given back.
  char& value = *static_cast<char*>(memory);
  Session first, second;
  first.pages().add(memory, static_cast<std::int64_t>(bytes));
  value = 7;
  second.pages().give_back(memory, bytes);
  CHECK(value == 7);
  first.pages().give_back(memory, bytes);
  CHECK(value == 0);
  value = 7;
  first.pages().remove(memory);
  first.pages().give_back(memory, bytes);
  CHECK(value == 7);
  ::munmap(memory, bytes);
}

}  // namespace lowpeak
