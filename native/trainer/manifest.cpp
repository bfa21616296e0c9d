#include "manifest.h"

#include <algorithm>

#include "json.h"
#include "sha256.h"

namespace lowpeak::trainer {
namespace {

constexpr std::int64_t kSchemaVersion = 4;
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;

// The product of sizes. Throws ArtifactError when one is negative or a machine could not count so many.
std::int64_t product(const std::string& name, const std::vector<std::int64_t>& sizes) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    if (size < 0 || (size > 0 && count > kMostElements / size)) {
      throw artifact_error("manifest.json: " + name + " has shape " + python_list(sizes));
    }
    count *= size;
  }
  return count;
}

std::vector<TensorRecord> tensors(const JsonReader& list) {
  std::vector<TensorRecord> made;
  for (const JsonReader& item : list.items()) {
    TensorRecord record{item.at("name").text(), item.at("shape").integers(), item.at("dtype").text()};
    product(record.name, record.shape);
    made.push_back(std::move(record));
  }
  return made;
}

std::vector<Bucket> read_buckets(const JsonReader& list) {
  std::vector<Bucket> made;
  for (const JsonReader& item : list.items()) {
    const JsonReader batch = item.at("batch"), plan = item.at("plan");
    std::optional<std::int64_t> tokens;
    if (batch.at("causal_lm").boolean()) {
      tokens = product("the batch", {batch.at("batch_size").integer(), batch.at("seq_len").integer()});
    }
    made.push_back({item.at("suffix").text(),
                    tokens,
                    tensors(item.at("inputs")),
                    {plan.at("budget_bytes").integer(), plan.at("planned_peak_bytes").integer(),
                     plan.at("planned_anonymous_bytes").integer(), plan.at("offload_bytes").integer()}});
  }
  if (made.empty()) throw artifact_error("manifest.json: there is no bucket");
  return made;
}

std::optional<GenerateRecord> read_generate(const JsonReader& manifest) {
  if (!manifest.has("generate") || manifest.at("generate").is_null()) return std::nullopt;
  const JsonReader record = manifest.at("generate");
  GenerateRecord made{record.at("tokens").integer(), record.at("prompt_tokens").integer(),
                      record.at("vocabulary").integer(), record.at("ends").integers(),
                      record.at("planned_peak_bytes").integer(), record.at("planned_anonymous_bytes").integer()};
  product("the program that generates", {made.tokens, made.prompt_tokens, made.vocabulary});
  if (made.tokens < 1 || made.prompt_tokens < 1 || made.vocabulary < 1) {
    throw artifact_error("manifest.json: the program that generates has no tokens");
  }
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
                              : version->is_string() ? python_repr(version->get<std::string>())
                              : version->is_primitive() ? version->dump()
                                                        : version->type_name();
    throw artifact_error("the artifact has schema version " + found + ", this lowpeak reads " +
                         std::to_string(kSchemaVersion) + "; compile it again");
  }
  const JsonReader manifest(raw, "ArtifactError", "manifest.json", "manifest");
  Manifest made{sha256_of(text),
                manifest.at("target").text(),
                read_buckets(manifest.at("buckets")),
                tensors(manifest.at("parameters")),
                manifest.at("weights_file").text(),
                !manifest.at("sample").is_null(),
                {},
                read_generate(manifest),
                manifest.has("generate_problem") ? manifest.at("generate_problem").optional_text() : std::nullopt};
  for (const auto& [name, record] : manifest.at("files").fields()) {
    made.files.emplace(name, FileRecord{record.at("sha256").text(), record.at("bytes").integer()});
  }
  return made;
}

}  // namespace lowpeak::trainer
