// Events on stdout, one a line; what a library prints there goes to stderr instead.
#pragma once

#include "trainer/events.h"
#include "trainer/stop_request.h"

namespace lowpeak::runner {

class Output {
 public:
  // Takes stdout. A line that cannot be written asks `stop`, which lives as long as the program, to stop.
  // Throws EnvironmentProblem when stdout is closed.
  explicit Output(trainer::StopRequest& stop);

  // Waits where there is no room, until a stop is wanted and a little longer. False: nobody will read it.
  bool write(const trainer::Event& event);

  // Where events go.
  int descriptor() const { return events_; }

  // Why events are not told any more, if that is not because their reader is gone; 0: no such thing.
  int failure() const { return failure_; }

 private:
  bool has_room();
  bool give_up(const char* reason, int failure = 0);

  trainer::StopRequest& stop_;
  int events_;
  bool given_up_ = false;
  int failure_ = 0;
};

}  // namespace lowpeak::runner
