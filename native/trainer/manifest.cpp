#include "manifest.h"

#include "json.h"
#include "sha256.h"

namespace lowpeak::trainer {
namespace {

constexpr std::int64_t kSchemaVersion = 3;

std::vector<TensorRecord> tensors(const JsonReader& list) {
  std::vector<TensorRecord> made;
  for (const JsonReader& item : list.items()) {
    TensorRecord record{item.at("name").text(), item.at("shape").integers(), item.at("dtype").text()};
    for (const std::int64_t size : record.shape) {
      if (size >= 0) continue;
      throw artifact_error("manifest.json: " + record.name + " has shape " + python_list(record.shape));
    }
    made.push_back(std::move(record));
  }
  return made;
}

}  // namespace

std::size_t TensorRecord::elements() const {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  return count;
}

std::string TensorRecord::description() const { return dtype + " " + python_list(shape); }

Manifest Manifest::from_json(const std::string& text) {
  Json raw;
  try {
    raw = Json::parse(text);
  } catch (const Json::exception& error) {
    throw artifact_error(std::string("manifest.json is not JSON: ") + error.what());
  }
  const Json version = raw.is_object() && raw.contains("schema_version") ? raw["schema_version"] : Json();
  if (!version.is_number_integer() || version != kSchemaVersion) {
    const std::string found = version.is_null()     ? "None"
                              : version.is_string() ? python_repr(version.get<std::string>())
                                                    : version.dump();
    throw artifact_error("the artifact has schema version " + found + ", this lowpeak reads " +
                         std::to_string(kSchemaVersion) + "; compile it again");
  }
  const JsonReader manifest(raw, "ArtifactError", "manifest.json", "manifest");
  const JsonReader plan = manifest.at("plan");
  Manifest made{sha256_of(text),
                manifest.at("target").text(),
                tensors(manifest.at("inputs")),
                tensors(manifest.at("parameters")),
                manifest.at("weights_file").text(),
                !manifest.at("sample").is_null(),
                {plan.at("budget_bytes").integer(), plan.at("planned_peak_bytes").integer(),
                 plan.at("planned_anonymous_bytes").integer(), plan.at("offload_bytes").integer()},
                {}};
  for (const auto& [name, record] : manifest.at("files").fields()) {
    made.files.emplace(name, FileRecord{record.at("sha256").text(), record.at("bytes").integer()});
  }
  return made;
}

}  // namespace lowpeak::trainer
