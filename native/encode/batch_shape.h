// How batches of an artifact are made of examples: what encoding needs of manifest.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/dtype.h"

namespace lowpeak::encode {

// The values that an input of ids may hold: lowpeak_artifact/manifest.py's `ids`.
struct Ids {
  std::int64_t rows, least;
  std::optional<std::int64_t> ignored;
};

struct BatchShape {
  std::int64_t batch_size, seq_len;
  std::optional<std::int64_t> rows;  // tokens with a label that a batch can have
  std::optional<Ids> input_ids, targets;
  const trainer::DType* input_type;
  const trainer::DType* target_type;
  const trainer::DType* rows_type;
};

struct EncodePlan {
  std::vector<BatchShape> buckets;  // the longest sequences last
  std::int64_t budget_bytes;        // 0: any
};

// Throws ArtifactError for what is no manifest, DataError for an artifact that examples cannot be encoded for here.
EncodePlan read_encode_plan(const std::string& artifact);

}  // namespace lowpeak::encode
