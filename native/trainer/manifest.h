// What the trainer needs of an artifact's manifest.json; the whole of it is lowpeak_artifact/manifest.py's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/dtype.h"

namespace lowpeak::trainer {

struct FileRecord {
  std::string sha256;
  std::int64_t bytes;
};

struct TensorRecord {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;  // as torch has it: `float32`

  std::size_t elements() const;
  std::string description() const;  // "float32 [2, 3]"
};

// A frozen tensor, where it lies in the weights file.
struct WeightRecord {
  TensorRecord tensor;
  std::int64_t offset;  // 0: not said, as for other targets

  std::int64_t bytes() const;
};

// What the values of an input count: rows of something.
struct IdRange {
  std::int64_t least, rows;
  std::optional<std::int64_t> ignored;
};

struct PlanRecord {
  std::int64_t budget_bytes;
  std::int64_t arena_bytes;
  std::int64_t planned_peak_bytes;       // everything resident because of the step
  std::int64_t planned_anonymous_bytes;  // all of it but the mapped weights
  std::int64_t offload_bytes;            // size of the file that values are put into; 0 if there is none
};

// A batch shape with its program and plan; all buckets of an artifact share weights and adapter.
struct Bucket {
  std::string suffix;                  // of its files' names, before the extension
  std::optional<std::int64_t> tokens;  // of a batch, padding included; none for a plain module
  std::vector<TensorRecord> inputs;
  std::vector<std::optional<IdRange>> ids;  // of each input; none for what is no number of a row
  PlanRecord plan;

  std::string file(const std::string& name) const;  // "program.pte" -> "program-128.pte"
};

// The program that generates, generate.pte.
struct GenerateRecord {
  std::int64_t tokens;         // that its caches hold, prompt and answer together
  std::int64_t prompt_tokens;  // of a prompt that go through at a time
  std::int64_t vocabulary;
  std::vector<std::int64_t> ends;  // tokens that an answer ends with
  std::int64_t arena_bytes;
  std::int64_t state_bytes;         // adapter and caches
  std::int64_t planned_peak_bytes;  // everything resident because of generating
  std::int64_t planned_anonymous_bytes;
};

struct Manifest {
  std::string id;  // changes with anything that the manifest says, so with every file of the artifact
  std::string target;
  std::vector<Bucket> buckets;  // at least one
  std::vector<TensorRecord> parameters;
  std::string weights_file;
  std::vector<WeightRecord> weights;
  bool sample;
  std::map<std::string, FileRecord> files;
  std::optional<GenerateRecord> generate;
  std::optional<std::string> generate_problem;  // why there is none

  // The most of all buckets.
  std::int64_t planned_peak() const;
  std::int64_t planned_anonymous() const;
  std::int64_t offload_bytes() const;

  // Throws ArtifactError for what is no manifest, or of another schema version, and for numbers that no artifact has.
  static Manifest from_json(const std::string& text);
};

}  // namespace lowpeak::trainer
