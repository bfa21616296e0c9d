#include "runner/output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "trainer/error.h"

namespace lowpeak::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLookMilliseconds = 500;
// After a wish to stop, for a reader that is slow.
constexpr std::chrono::seconds kPatience{2};

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

}  // namespace

Output::Output(trainer::StopRequest& stop) : stop_(stop) {
  const bool open = is_open(STDOUT_FILENO);
  // A file that is opened later must not get the number of a standard stream, into which anything may print.
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!is_open(stream)) (void)!::open("/dev/null", O_RDWR);
  }
  events_ = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (!open) throw trainer::environment_problem("stdout is closed: there is nowhere to tell what happens");
}

bool Output::write(const trainer::Event& event) {
  const std::string line = trainer::line_of(event);
  for (std::size_t done = 0; done < line.size();) {
    if (given_up_ || !has_room()) return false;
    // No more than a pipe surely has room for, so that it does not block.
    const std::size_t most = std::min<std::size_t>(line.size() - done, PIPE_BUF);
    const ssize_t written = ::write(events_, line.data() + done, most);
    if (written >= 0) {
      done += static_cast<std::size_t>(written);
    } else if (errno == EPIPE) {
      return give_up("nobody reads the events");
    } else if (errno != EINTR && errno != EAGAIN) {
      return give_up("the events cannot be written", errno);
    }
  }
  return true;
}

bool Output::has_room() {
  std::optional<Clock::time_point> wanted;
  while (true) {
    pollfd output{events_, POLLOUT, 0};
    // A signal ends it.
    if (::poll(&output, 1, kLookMilliseconds) > 0) return true;
    if (stop_.reason() == nullptr) continue;
    if (!wanted) wanted = Clock::now();
    if (Clock::now() - *wanted > kPatience) return give_up(stop_.reason());
  }
}

bool Output::give_up(const char* reason, int failure) {
  given_up_ = true;
  failure_ = failure;
  stop_.request(reason);
  return false;
}

}  // namespace lowpeak::runner
