#include "trainer/signals.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

namespace lowpeak::trainer {
namespace {

constexpr int kSignalled = 128;  // a shell adds it to the number of the signal that ended a command
constexpr char kSecond[] =
    "lowpeak-runner: it stops and saves; a third interrupt ends it at once, without the steps since the last "
    "checkpoint\n";

StopRequest* wanted = nullptr;
volatile sig_atomic_t interrupts = 0;

void handle(int number) {
  const int error = errno;
  wanted->request(number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP");
  if (number == SIGINT) {
    interrupts = interrupts + 1;
    if (interrupts == 2) (void)!::write(STDERR_FILENO, kSecond, sizeof kSecond - 1);
    if (interrupts == 3) ::_exit(kSignalled + number);
  }
  errno = error;
}

}  // namespace

void handle_signals(StopRequest& stop) {
  wanted = &stop;
  struct sigaction action{};
  // Without SA_RESTART: a call that blocks ends with EINTR, and its caller looks at the wish.
  action.sa_handler = handle;
  sigset_t all;
  sigemptyset(&all);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    sigaddset(&all, number);
    struct sigaction before{};
    ::sigaction(number, nullptr, &before);
    // SIGTERM is how the program that started this one asks for its end, whatever that was started with.
    if (number == SIGTERM || before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  // Whoever started this program may have held them back until now.
  ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
}

}  // namespace lowpeak::trainer
