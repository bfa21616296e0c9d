#include "trainer/manifest.h"

#include <algorithm>
#include <set>

#include "trainer/json.h"
#include "trainer/sha256.h"

namespace lowpeak::trainer {
namespace {

constexpr std::int64_t kSchemaVersion = 4;
constexpr std::int64_t kMost = std::int64_t{1} << 48;  // of elements or bytes: more than any machine has
constexpr std::size_t kMostRank = 16;                  // that the runtime knows
constexpr std::size_t kMostFiles = 10'000;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 22;  // of a batch, or in a cache
constexpr std::int64_t kMostWords = std::int64_t{1} << 24;   // of a vocabulary

[[noreturn]] void fail(const std::string& what) { throw artifact_error("manifest.json: " + what); }

// A whole number from `least` to `most`.
std::int64_t counted(const JsonReader& record, const char* field, std::int64_t least = 0, std::int64_t most = kMost) {
  const std::int64_t value = record.at(field).integer();
  if (value < least || value > most) {
    fail(std::string(field) + " is " + std::to_string(value) + ", it should be from " + std::to_string(least) + " to " +
         std::to_string(most));
  }
  return value;
}

// The product of sizes. Throws ArtifactError when one is negative or a machine could not count so many.
std::int64_t product(const std::string& name, const std::vector<std::int64_t>& sizes) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > INT32_MAX || (size > 0 && count > kMost / size)) {
      fail(name + " has shape " + python_list(sizes));
    }
    count *= size;
  }
  return count;
}

TensorRecord tensor(const JsonReader& item) {
  TensorRecord record{item.at("name").text(), item.at("shape").integers(), item.at("dtype").text()};
  product(record.name, record.shape);
  if (record.shape.size() > kMostRank || dtype_named(record.dtype) == nullptr) {
    fail(record.name + " is " + record.description() + ", which is not known");
  }
  return record;
}

void require_unique(const std::string& name, std::set<std::string>& names) {
  if (!names.insert(name).second) fail(python_repr(name) + " is there twice");
}

std::vector<TensorRecord> tensors(const JsonReader& list) {
  std::vector<TensorRecord> made;
  std::set<std::string> names;
  for (const JsonReader& item : list.items()) {
    made.push_back(tensor(item));
    require_unique(made.back().name, names);
  }
  return made;
}

std::vector<WeightRecord> read_weights(const JsonReader& list) {
  std::vector<WeightRecord> made;
  std::set<std::string> names;
  for (const JsonReader& item : list.items()) {
    const bool placed = item.has("offset") && !item.at("offset").is_null();
    made.push_back({tensor(item), placed ? counted(item, "offset") : 0});
    require_unique(made.back().tensor.name, names);
  }
  return made;
}

std::optional<IdRange> read_ids(const JsonReader& input) {
  if (!input.has("ids") || input.at("ids").is_null()) return std::nullopt;
  const JsonReader ids = input.at("ids");
  IdRange made{ids.at("least").integer(), counted(ids, "rows"), ids.at("ignored").optional_integer()};
  const std::string dtype = input.at("dtype").text();
  if (made.least < -made.rows || made.least > made.rows || (dtype != "int64" && dtype != "int32")) {
    fail(input.at("name").text() + " has rows from " + std::to_string(made.least) + " to " + std::to_string(made.rows) +
         " and the type " + dtype);
  }
  return made;
}

// A part of a file's name.
std::string read_suffix(const JsonReader& bucket) {
  const std::string suffix = bucket.at("suffix").text();
  if (suffix.size() > 40 || suffix.find_first_not_of("-0123456789abcdefghijklmnopqrstuvwxyz") != std::string::npos) {
    fail("a bucket has the suffix " + python_repr(suffix));
  }
  return suffix;
}

std::vector<Bucket> read_buckets(const JsonReader& list) {
  std::vector<Bucket> made;
  std::set<std::string> suffixes;
  for (const JsonReader& item : list.items()) {
    const JsonReader batch = item.at("batch"), plan = item.at("plan"), inputs = item.at("inputs");
    Bucket bucket{read_suffix(item), std::nullopt, tensors(inputs), {}, {}};
    require_unique(bucket.suffix, suffixes);
    if (batch.at("causal_lm").boolean()) {
      bucket.tokens = product(
          "the batch", {counted(batch, "batch_size", 1, kMostTokens), counted(batch, "seq_len", 1, kMostTokens)});
      if (*bucket.tokens > kMostTokens) fail("a batch has " + std::to_string(*bucket.tokens) + " tokens");
    }
    for (const JsonReader& input : inputs.items()) bucket.ids.push_back(read_ids(input));
    bucket.plan = {counted(plan, "budget_bytes", 1), counted(plan, "arena_bytes"), counted(plan, "planned_peak_bytes"),
                   counted(plan, "planned_anonymous_bytes"), counted(plan, "offload_bytes")};
    made.push_back(std::move(bucket));
  }
  if (made.empty()) fail("there is no bucket");
  return made;
}

std::optional<GenerateRecord> read_generate(const JsonReader& manifest) {
  if (!manifest.has("generate") || manifest.at("generate").is_null()) return std::nullopt;
  const JsonReader record = manifest.at("generate");
  GenerateRecord made{counted(record, "tokens", 1, kMostTokens),
                      counted(record, "prompt_tokens", 1, kMostTokens),
                      counted(record, "vocabulary", 1, kMostWords),
                      record.at("ends").integers(),
                      counted(record, "arena_bytes"),
                      counted(record, "state_bytes"),
                      counted(record, "planned_peak_bytes"),
                      counted(record, "planned_anonymous_bytes")};
  return made;
}

std::map<std::string, FileRecord> read_files(const JsonReader& files) {
  std::map<std::string, FileRecord> made;
  for (const auto& [name, record] : files.fields()) {
    const std::string hash = record.at("sha256").text();
    if (hash.size() != 64 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
      fail(python_repr(name) + " has the sha256 " + python_repr(hash));
    }
    made.emplace(name, FileRecord{hash, counted(record, "bytes")});
  }
  if (made.size() > kMostFiles) fail("it lists " + std::to_string(made.size()) + " files");
  return made;
}

}  // namespace

std::string Bucket::file(const std::string& name) const {
  const auto point = name.find_last_of('.');
  return name.substr(0, point) + suffix + name.substr(point);
}

std::int64_t Manifest::planned_peak() const {
  std::int64_t most = 0;
  for (const Bucket& bucket : buckets) most = std::max(most, bucket.plan.planned_peak_bytes);
  return most;
}

std::int64_t Manifest::planned_anonymous() const {
  std::int64_t most = 0;
  for (const Bucket& bucket : buckets) most = std::max(most, bucket.plan.planned_anonymous_bytes);
  return most;
}

std::int64_t Manifest::offload_bytes() const {
  std::int64_t most = 0;
  for (const Bucket& bucket : buckets) most = std::max(most, bucket.plan.offload_bytes);
  return most;
}

std::int64_t WeightRecord::bytes() const {
  return static_cast<std::int64_t>(tensor.elements() * dtype_named(tensor.dtype)->bytes);
}

std::size_t TensorRecord::elements() const {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

std::string TensorRecord::description() const { return dtype + " " + python_list(shape); }

Manifest Manifest::from_json(const std::string& text) {
  Json raw;
  try {
    raw = parse_json(text);
  } catch (const Json::exception& error) {
    throw artifact_error(std::string("manifest.json is not JSON: ") + error.what());
  }
  const auto version = raw.is_object() ? raw.find("schema_version") : raw.end();
  if (version == raw.end() || !version->is_number_integer() || *version != kSchemaVersion) {
    const std::string found = version == raw.end() || version->is_null() ? "None"
                              : version->is_string()                     ? python_repr(version->get<std::string>())
                              : version->is_primitive()                  ? version->dump()
                                                                         : version->type_name();
    throw artifact_error("the artifact has schema version " + found + ", this lowpeak reads " +
                         std::to_string(kSchemaVersion) + "; compile it again");
  }
  const JsonReader manifest(raw, "ArtifactError", "manifest.json", "manifest");
  return {sha256_of(text),
          manifest.at("target").text(),
          read_buckets(manifest.at("buckets")),
          tensors(manifest.at("parameters")),
          manifest.at("weights_file").text(),
          read_weights(manifest.at("weights")),
          !manifest.at("sample").is_null(),
          read_files(manifest.at("files")),
          read_generate(manifest),
          manifest.has("generate_problem") ? manifest.at("generate_problem").optional_text() : std::nullopt};
}

}  // namespace lowpeak::trainer
