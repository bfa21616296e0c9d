#include "trainer/generations.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "trainer/error.h"

namespace lowpeak::trainer {
namespace {

// Also a link that leads nowhere.
bool is_there(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

Progress header_of(const std::string& path) {
  try {
    return read_header(path);
  } catch (const Error&) {
    // Of another version it may be by a flipped bit.
    return verify(path);
  }
}

using Damages = std::map<std::string, std::string>;  // what is wrong with files

std::optional<std::string> damage_of(const std::string& path) {
  try {
    verify(path);
  } catch (const Damaged& error) {
    return error.what();
  }
  return std::nullopt;
}

std::string instead(const std::string& path, const Damages& damage, const Checkpoint& used) {
  std::string reason;
  if (damage.count(path) == 1) {
    reason = path + " is damaged (" + damage.at(path) + ")";
  } else if (!is_there(path)) {
    reason = "there is no " + path + ", as a process ended while it replaced it";
  } else {
    reason = path + " has fewer steps than " + name_of(used.path);
  }
  return reason + ": " + name_of(used.path) + " is used, with " + std::to_string(used.progress.step) + " steps";
}

Error none_whole(const Damages& damage, const std::string& path) {
  std::string words;
  for (const std::string& file : {path, previous_of(path)}) {
    const auto why = damage.find(file);
    if (why != damage.end()) words += (words.empty() ? "" : " and ") + file + " is damaged (" + why->second + ")";
  }
  if (damage.size() == 1 && damage.count(path) == 1) {
    words += ", and there is no " + name_of(previous_of(path)) + " before it";
  }
  return artifact_error(words + ": `lowpeak fsck " + parent_of(path) + "` tells what can be saved");
}

}  // namespace

std::string previous_of(const std::string& path) {
  const std::string name = name_of(path);
  auto dot = name.find_last_of('.');
  if (dot == 0 || dot == std::string::npos) dot = name.size();
  return path.substr(0, path.size() - name.size()) + name.substr(0, dot) + ".previous" + name.substr(dot);
}

std::optional<Checkpoint> newest_of(const std::string& path, const Tell& tell) {
  const std::string previous = previous_of(path);
  std::vector<Checkpoint> found;
  Damages damage;
  for (const std::string& each : {path, previous}) {
    if (!is_there(each)) continue;
    try {
      found.push_back({each, header_of(each)});
    } catch (const Damaged& error) {
      damage[each] = error.what();
    }
  }
  if (found.size() == 2 && found[0].progress.same_run(found[1].progress) &&
      found[0].progress.step < found[1].progress.step) {
    std::swap(found[0], found[1]);
  }
  for (const Checkpoint& each : found) {
    if (const auto why = damage_of(each.path)) {
      damage[each.path] = *why;
      continue;
    }
    if (each.path == previous) {
      // Fewer steps it may have by a flipped bit.
      if (damage.count(path) == 0 && is_there(path)) {
        if (const auto why = damage_of(path)) damage[path] = *why;
      }
      tell(instead(path, damage, each));
    }
    return each;
  }
  if (damage.empty()) return std::nullopt;
  throw none_whole(damage, path);
}

void settle(const std::string& path, const Tell& tell) {
  const std::optional<Checkpoint> newest = newest_of(path, tell);
  if (!newest || newest->path == path) return;
  try {
    if (::rename(newest->path.c_str(), path.c_str()) != 0) throw SystemError();
    sync_folder(parent_of(path));
  } catch (const SystemError& error) {
    throw environment_problem(newest->path + " cannot be renamed to " + path + ": " + error.what());
  }
}

void install(WholeFile& fresh, const std::string& path) {
  if (::rename(path.c_str(), previous_of(path).c_str()) != 0 && errno != ENOENT) throw SystemError();
  fresh.take_place();
  sync_folder(parent_of(path));
}

bool give_up_previous(const std::string& path) {
  const std::string previous = previous_of(path);
  if (!is_there(previous)) return false;
  try {
    verify(path);
  } catch (const std::exception&) {
    return false;
  }
  return ::unlink(previous.c_str()) == 0;
}

}  // namespace lowpeak::trainer
