// What a trainer is told: lowpeak_runtime/train/session.py's Job. Paths are of files.
#pragma once

#include <optional>
#include <string>

#include "trainer/fingerprint.h"
#include "trainer/json.h"
#include "trainer/optimizer_options.h"

namespace lowpeak::trainer {

struct Job {
  std::string artifact;   // the folder
  std::string work;       // a folder for temporary files, on a disk
  std::string batches;    // the folder of those from `first_step` on, counted from the first step of all: see batches.h
  bool streamed;          // batches are still written while the run goes on
  std::string data;       // what the batches are made of, by its SHA-256; for the checkpoint
  std::int64_t position;  // where the first batch begins in the order of the data
  std::int64_t first_step, total_steps;
  std::int64_t accumulate;
  std::int64_t seed;  // of the batches' order; for the checkpoint
  OptimizerOptions optimizer;
  std::optional<std::string> checkpoint;  // continued from if `first_step` is not 0; none: nothing is kept
  std::int64_t checkpoint_every;          // steps
  OptionFields options;                   // what an update depends on; for the checkpoint
  std::optional<std::string> expect;      // the sha256 of the artifact's manifest.json; none: any

  // Throws an Error of kind ValueError for what is no job.
  static Job from_json(const std::string& text);
};

// The text of a job's file. Throws EnvironmentProblem when it cannot be read.
std::string read_job(const std::string& path);

// A job of any kind. Throws an Error of kind ValueError for what is no JSON.
Json parse_job(const std::string& text);

// The field "expect" of a job, which it may leave out. Throws an Error of kind ValueError for what is no sha256.
std::optional<std::string> expected_by(const JsonReader& job);

// A whole number of a job. Throws an Error of kind ValueError when it is below `least`, which is 0 or 1.
std::int64_t at_least(const JsonReader& job, const char* name, std::int64_t least);

}  // namespace lowpeak::trainer
