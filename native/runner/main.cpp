// lowpeak-runner [VERB] JOB.json: what a phone does without Python; events on stdout, those of runtime_py/events.py.
// Without a verb it trains.
//
//     --ops-library FILE      kernels of lowpeak's operators; may be given several times
//     --resume                goes on from the job's checkpoint, if there is one
//     --metrics               memory in every step's event
//     --no-verify             the artifact's hashes have been checked already
//     --pressure-limit N      stops when tasks waited for memory in more than N % of 10 seconds (50)
//     --pressure-file FILE    where the system tells that (/proc/pressure/memory)
//     --threads N             of the kernels: 1 to 4. By default as the run began; at its beginning what is fastest
//                             on the fast processors, where some are slower, or else as many as ExecuTorch takes
//     --processors FOLDER     where the system tells how fast they are (/sys/devices/system/cpu)
#include <unistd.h>

#include <map>

#include "arguments.h"
#include "trainer/bus_error.h"
#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/operators.h"
#include "trainer/signals.h"
#include "verbs.h"

namespace {

using namespace lowpeak::trainer;
using lowpeak::runner::Arguments;

using Verb = void (*)(const Arguments&, const StopRequest&, const Emit&);

const std::map<std::string, Verb> kVerbs = {
    {"encode", lowpeak::runner::encode},
    {"eval", lowpeak::runner::eval},
    {"generate", lowpeak::runner::generate},
    {"train", lowpeak::runner::train},
};

std::vector<std::string> verbs() {
  std::vector<std::string> names;
  for (const auto& [name, verb] : kVerbs) names.push_back(name);
  return names;
}

}  // namespace

int main(int count, char** values) {
  const Arguments arguments = lowpeak::runner::parse(count, values, verbs());
  static StopRequest stop;
  handle_signals(stop);
  tame_allocator();
  // What a library prints must not end up between the events.
  const int events = ::dup(1);
  ::dup2(2, 1);
  report_bus_errors(events);
  const Emit emit = [events](const Event& event) {
    const std::string line = line_of(event);
    try {
      write_all(events, line.data(), line.size());
    } catch (const SystemError&) {
      stop.request("nobody reads the events");
    }
  };
  try {
    for (const std::string& library : arguments.operators) load_operators(library);
    kVerbs.at(arguments.verb)(arguments, stop, emit);
  } catch (const Error& error) {
    emit(error_event(error));
    return 1;
  } catch (const std::bad_alloc&) {
    emit(error_event(environment_problem("the system has no memory left")));
    return 1;
  } catch (const SystemError& error) {
    emit(error_event(environment_problem(std::string("the system refuses: ") + error.what())));
    return 1;
  } catch (const std::system_error& error) {
    emit(error_event(environment_problem(std::string("the system refuses: ") + error.what())));
    return 1;
  } catch (const std::exception& error) {
    emit(error_event(Error("RuntimeError", error.what())));
    return 1;
  }
  return 0;
}
