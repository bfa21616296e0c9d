// Whether a folder can be written and has room, asked before any work; lowpeak_artifact/disk.py asks for Python.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lowpeak::trainer {

// Tries the folder: a file is made and written, and blocks are asked for, for files of these sizes. Nothing is left.
//
// `what` is for the message: that they are. `times`: how often there are such files; they are tried once. Throws
// EnvironmentProblem with the bytes that are needed and free.
void require_room(const std::string& folder, const std::vector<std::int64_t>& files, const std::string& what,
                  std::int64_t times = 1);

// Bytes that may still be written to the folder's file system; none where that does not tell.
std::optional<std::int64_t> free_bytes(const std::string& folder);

// What to tell of a folder for temporary files that is in memory; none for one on a disk.
std::optional<std::string> told_of_memory(const std::string& folder);

}  // namespace lowpeak::trainer
