// lowpeak-runner job.json: trains without Python; events on stdout, those of runtime_py/events.py.
//
//     --ops-library FILE      kernels of lowpeak's operators; may be given several times
//     --resume                goes on from the job's checkpoint, if there is one
//     --metrics               memory in every step's event
//     --no-verify             the artifact's hashes have been checked already
//     --pressure-limit N      stops when tasks waited for memory in more than N % of 10 seconds (50)
//     --pressure-file FILE    where the system tells that (/proc/pressure/memory)
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "trainer/checkpoint.h"
#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/operators.h"
#include "trainer/program.h"
#include "trainer/signals.h"
#include "trainer/trainer.h"

namespace {

using namespace lowpeak::trainer;

struct Arguments {
  std::string job;
  std::vector<std::string> operators;
  bool resume = false;
  TrainerOptions options;
};

[[noreturn]] void usage(const std::string& problem) {
  std::fprintf(stderr,
               "lowpeak-runner: %s\n"
               "usage: lowpeak-runner JOB.json [--ops-library FILE]... [--resume] [--metrics]\n"
               "       [--no-verify] [--pressure-limit PERCENT] [--pressure-file FILE]\n",
               problem.c_str());
  std::exit(2);
}

Arguments parse(int count, char** values) {
  Arguments made;
  for (int i = 1; i < count; ++i) {
    const std::string argument = values[i];
    const auto value = [&]() -> std::string {
      if (++i == count) usage(argument + " needs a value");
      return values[i];
    };
    if (argument == "--ops-library") {
      made.operators.push_back(value());
    } else if (argument == "--resume") {
      made.resume = true;
    } else if (argument == "--metrics") {
      made.options.metrics = true;
    } else if (argument == "--no-verify") {
      made.options.verify = false;
    } else if (argument == "--pressure-file") {
      made.options.pressure_file = value();
    } else if (argument == "--pressure-limit") {
      const std::string text = value();
      char* end = nullptr;
      made.options.pressure_limit = std::strtod(text.c_str(), &end);
      if (end == text.c_str() || *end != '\0') usage(argument + " is a number of percent, not " + text);
    } else if (argument.rfind("--", 0) == 0 || !made.job.empty()) {
      usage("what is " + argument + "?");
    } else {
      made.job = argument;
    }
  }
  if (made.job.empty()) usage("no job is given");
  return made;
}

Job read_job(const std::string& path) {
  try {
    return Job::from_json(read_text(path));
  } catch (const SystemError& error) {
    throw environment_problem("the job " + path + " cannot be read: " + error.what());
  }
}

// What of the run is the same is checked when the checkpoint is restored.
Job continued(Job job) {
  if (!job.checkpoint || !file_exists(*job.checkpoint)) return job;
  const Progress progress = read_progress(*job.checkpoint);
  job.first_step = progress.step;
  job.position = progress.position;
  return job;
}

}  // namespace

int main(int count, char** values) {
  const Arguments arguments = parse(count, values);
  static StopRequest stop;
  handle_signals(stop);
  tame_allocator();
  // What a library prints must not end up between the events.
  const int events = ::dup(1);
  ::dup2(2, 1);
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
    const Job job = read_job(arguments.job);
    train(arguments.resume ? continued(job) : job, arguments.options, stop, emit);
  } catch (const Error& error) {
    emit(error_event(error));
    return 1;
  } catch (const std::bad_alloc&) {
    emit(error_event(environment_problem("the system has no memory left")));
    return 1;
  } catch (const std::exception& error) {
    emit(error_event(Error("RuntimeError", error.what())));
    return 1;
  }
  return 0;
}
