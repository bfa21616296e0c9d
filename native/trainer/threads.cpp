#include "trainer/threads.h"

#include <unistd.h>

#include "trainer/error.h"
#include "trainer/files.h"
#include "trainer/json.h"
#include "trainer/operators.h"
#include "trainer/processors.h"
#include "trainer/thread_choice.h"
#include "trainer/whole_file.h"

namespace lowpeak::trainer {
namespace {

constexpr char kFile[] = "threads.json";
constexpr double kSeconds = 0.1;
void set_threads(int count) {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool == nullptr || !pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(count)) ||
      pool->get_thread_count() != static_cast<std::size_t>(count)) {
    throw environment_problem("the system does not give " + std::to_string(count) + " threads", {{"threads", count}});
  }
}

double speed_on(int count) {
  set_threads(count);
  return products_per_second(kSeconds);
}

// That of a run that has begun; none if it was not kept.
std::optional<int> kept(const std::string& path) {
  if (!file_exists(path)) return std::nullopt;
  std::int64_t count = 0;
  try {
    const Json raw = parse_json(read_text(path));
    count = JsonReader(raw, "ArtifactError", path, path).at("threads").integer();
  } catch (const std::exception&) {
  }
  if (count < 1 || count > kMostThreads) {
    throw artifact_error(path + " is damaged: it should have the number of threads of the run, 1 to " +
                         std::to_string(kMostThreads) +
                         "; remove it, and the run goes on with a number that is "
                         "chosen anew");
  }
  return static_cast<int>(count);
}

void keep(const std::string& path, int count) {
  const std::string text = "{\"threads\": " + std::to_string(count) + "}\n";
  try {
    WholeFile file(path);
    write_all(file.fd(), text.data(), text.size());
    file.sync();
    file.take_place();
  } catch (const SystemError& error) {
    throw environment_problem(path + " cannot be written: " + error.what() + "; free some kilobytes");
  }
}

std::string listed(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

}  // namespace

std::optional<Event> use_threads(const ThreadOptions& options, const std::optional<std::string>& checkpoint,
                                 bool begun) {
  std::optional<std::string> file;
  if (checkpoint) file = parent_of(*checkpoint) + "/" + kFile;
  // Of an earlier run in the same folder.
  if (file && !begun) ::unlink(file->c_str());
  const std::optional<int> before = file ? kept(*file) : std::nullopt;
  const std::vector<int> allowed = allowed_processors(), big = big_processors(options.processors, allowed);
  if (!options.count && !before && big.empty()) return std::nullopt;

  const bool pinned = !big.empty() && stay_on(big);
  ThreadChoice choice{};
  if (options.count) {
    choice = {*options.count, "as asked for"};
    if (before && *before != *options.count) {
      choice.reason += "; until now it had " + std::to_string(*before) + ", so it does not continue bit for bit";
    }
  } else if (before) {
    choice = {*before, "as it began"};
  } else {
    choice = fastest(static_cast<int>(big.size()), speed_on);
  }
  set_threads(choice.count);
  if (file && before != choice.count) keep(*file, choice.count);

  std::string where;
  if (pinned) {
    where = " of the fast processors " + listed(big);
  } else if (!big.empty()) {
    where = ", which the system does not keep on the fast processors " + listed(big);
  }
  const std::string threads = std::to_string(choice.count) + (choice.count == 1 ? " thread" : " threads");
  Event event = note_event("the run is on " + threads + where + " (" + choice.reason + ")");
  event["threads"] = choice.count;
  if (pinned) event["processors"] = big;
  return event;
}

}  // namespace lowpeak::trainer
