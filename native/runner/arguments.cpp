#include "runner/arguments.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>

namespace lowpeak::runner {
namespace {

[[noreturn]] void usage(const std::string& problem, const std::vector<std::string>& verbs) {
  std::string choices;
  for (const std::string& verb : verbs) choices += (choices.empty() ? "" : " | ") + verb;
  std::fprintf(stderr,
               "lowpeak-runner: %s\n"
               "usage: lowpeak-runner [%s] JOB.json [--ops-library FILE]... [--resume] [--metrics]\n"
               "       [--no-verify] [--pressure-limit PERCENT] [--pressure-file FILE]\n"
               "       [--threads N] [--processors FOLDER] [--lock DESCRIPTOR]\n",
               problem.c_str(), choices.c_str());
  std::exit(2);
}

}  // namespace

Arguments parse(int count, char** values, const std::vector<std::string>& verbs) {
  Arguments made;
  int first = 1;
  if (count > 2 && std::find(verbs.begin(), verbs.end(), values[1]) != verbs.end()) made.verb = values[first++];
  for (int i = first; i < count; ++i) {
    const std::string argument = values[i];
    const auto value = [&]() -> std::string {
      if (++i == count) usage(argument + " needs a value", verbs);
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
      if (end == text.c_str() || *end != '\0') usage(argument + " is a number of percent, not " + text, verbs);
    } else if (argument == "--threads") {
      const std::string text = value();
      const int count = text.size() == 1 ? text[0] - '0' : 0;
      if (count < 1 || count > trainer::kMostThreads) {
        usage(argument + " is 1 to " + std::to_string(trainer::kMostThreads) + ", not " + text, verbs);
      }
      made.options.threads.count = count;
    } else if (argument == "--lock") {
      const std::string text = value();
      char* end = nullptr;
      const long descriptor = std::strtol(text.c_str(), &end, 10);
      const bool whole = end != text.c_str() && *end == '\0';
      if (!whole || descriptor < 0 || descriptor > INT_MAX) {
        usage(argument + " is the number of a descriptor, not " + text, verbs);
      }
      made.lock = static_cast<int>(descriptor);
    } else if (argument == "--processors") {
      made.options.threads.processors = value();
    } else if (argument.rfind("--", 0) == 0 || !made.job.empty()) {
      usage("what is " + argument + "?", verbs);
    } else {
      made.job = argument;
    }
  }
  if (made.job.empty()) usage("no job is given", verbs);
  return made;
}

}  // namespace lowpeak::runner
