#include "signals.h"

#include <signal.h>

namespace lowpeak::trainer {
namespace {

StopRequest* wanted = nullptr;

void handle(int number) {
  wanted->request(number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP");
}

}  // namespace

void handle_signals(StopRequest& stop) {
  wanted = &stop;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGHUP, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace lowpeak::trainer
