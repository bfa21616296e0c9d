#include "encode/batch_shape.h"

#include <algorithm>

#include "trainer/bundle.h"
#include "trainer/files.h"
#include "trainer/json.h"

namespace lowpeak::encode {
namespace {

using trainer::data_error;
using trainer::JsonReader;

BatchShape read_shape(const JsonReader& bucket) {
  const JsonReader batch = bucket.at("batch");
  if (!batch.at("causal_lm").boolean()) {
    throw data_error("the artifact is of a plain module, which takes no text: prepare its batches on the computer");
  }
  if (batch.at("subset_size").optional_integer()) {
    throw data_error(
        "the artifact's loss is over a subset of the vocabulary, which is chosen by the model's head for "
        "each batch: encode the data on the computer, or compile with loss \"exact\"");
  }
  BatchShape made{};
  made.batch_size = batch.at("batch_size").integer();
  made.seq_len = batch.at("seq_len").integer();
  made.rows = batch.at("rows").optional_integer();
  for (const JsonReader& input : bucket.at("inputs").items()) {
    const std::string name = input.at("name").text();
    const trainer::DType* type = trainer::dtype_named(input.at("dtype").text());
    std::optional<Ids> ids;
    if (!input.at("ids").is_null()) {
      const JsonReader each = input.at("ids");
      ids = Ids{each.at("rows").integer(), each.at("least").integer(), each.at("ignored").optional_integer()};
    }
    if (name == "input_ids") {
      made.input_ids = ids;
      made.input_type = type;
    } else if (name == "targets") {
      made.targets = ids;
      made.target_type = type;
    } else if (name == "rows") {
      made.rows_type = type;
    } else {
      throw data_error("the artifact takes the input " + name + ", which the phone cannot make");
    }
  }
  for (const trainer::DType* type : {made.input_type, made.target_type, made.rows ? made.rows_type : made.input_type}) {
    if (type == nullptr || (type->safetensors != std::string("I64") && type->safetensors != std::string("I32"))) {
      throw trainer::artifact_error(
          "manifest.json: the inputs of a language model are input_ids and targets, int64 or "
          "int32");
    }
  }
  // Rows are of the batch's tokens, whose number the manifest's reader has bounded.
  if (made.rows && (*made.rows < 1 || *made.rows > made.batch_size * made.seq_len)) {
    throw trainer::artifact_error("manifest.json: a batch has " + std::to_string(*made.rows) + " rows");
  }
  return made;
}

}  // namespace

EncodePlan read_encode_plan(const std::string& artifact) {
  const trainer::Json raw = trainer::parse_json(trainer::read_text(artifact + "/manifest.json"));
  const JsonReader manifest(raw, "ArtifactError", "manifest.json", "manifest");
  EncodePlan made{};
  for (const JsonReader& bucket : manifest.at("buckets").items()) {
    made.buckets.push_back(read_shape(bucket));
    const BatchShape& last = made.buckets.back();
    const BatchShape& before = made.buckets.size() > 1 ? made.buckets[made.buckets.size() - 2] : last;
    if (last.batch_size != before.batch_size || last.seq_len < before.seq_len) {
      throw trainer::artifact_error("manifest.json: the buckets are of other batch sizes, or not in their order");
    }
    made.budget_bytes = std::max(made.budget_bytes, bucket.at("plan").at("budget_bytes").integer());
  }
  return made;
}

}  // namespace lowpeak::encode
