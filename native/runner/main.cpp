// lowpeak-runner [VERB] JOB.json: what a phone does without Python; events on stdout, those of
// lowpeak_runtime/train/events.py. Without a verb it trains.
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
//     --lock DESCRIPTOR       the run's folder, which the program that started this one has opened and locked
//
// It ends with 0; 3 when it stopped before its goal, by a signal or for memory, with everything kept; 1 after an error
// event, or when events cannot be written; 2 for a command line that cannot be read.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "runner/arguments.h"
#include "runner/output.h"
#include "runner/verbs.h"
#include "trainer/bus_error.h"
#include "trainer/error.h"
#include "trainer/operators.h"
#include "trainer/runtime.h"
#include "trainer/signals.h"

namespace {

using namespace lowpeak::trainer;
using lowpeak::runner::Arguments;
using lowpeak::runner::End;
using lowpeak::runner::Output;

constexpr int kFailed = 1;

using Verb = End (*)(const Arguments&, const StopRequest&, const Emit&);

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
  try {
    Output output(stop);
    report_bus_errors(output.descriptor());
    const Emit emit = [&output](const Event& event) { output.write(event); };
    const auto failed = [&output](const Error& error) {
      if (!output.write(error_event(error))) std::fprintf(stderr, "lowpeak-runner: %s\n", error.what());
      return kFailed;
    };
    on_fatal([&output](const Error& error) {
      output.write(error_event(error));
      ::_exit(kFailed);
    });
    try {
      for (const std::string& library : arguments.operators) load_operators(library);
      const End end = kVerbs.at(arguments.verb)(arguments, stop, emit);
      if (output.failure() == 0) return static_cast<int>(end);
      std::fprintf(stderr, "lowpeak-runner: events cannot be written to stdout: %s\n", std::strerror(output.failure()));
      return kFailed;
    } catch (const Error& error) {
      return failed(error);
    } catch (const std::bad_alloc&) {
      return failed(environment_problem("the system has no memory left"));
    } catch (const SystemError& error) {
      return failed(environment_problem(std::string("the system refuses: ") + error.what()));
    } catch (const std::system_error& error) {
      return failed(environment_problem(std::string("the system refuses: ") + error.what()));
    } catch (const std::exception& error) {
      return failed(Error("RuntimeError", error.what()));
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "lowpeak-runner: %s\n", error.what());
    return kFailed;
  }
}
