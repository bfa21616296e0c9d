// Examples -> batches, in the order that a seed decides: lowpeak_runtime/data/data.py's `batches`, and
// lowpeak_artifact/batch.py's graph inputs of each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "encode/batch_shape.h"
#include "encode/data_file.h"
#include "encode/example.h"
#include "encode/shuffle.h"

namespace lowpeak::encode {

// What was met of the examples: lowpeak_runtime/data/summary.py.
struct Summary {
  std::int64_t seen = 0, dropped = 0, truncated = 0, tokens = 0, trainable = 0, longest = 0, enough = 0;
  std::map<std::string, std::int64_t> warnings;
};

struct Batch {
  std::size_t bucket;
  std::vector<std::int64_t> input_ids, targets, rows;  // rows: empty if the artifact has none
  std::int64_t end;                                    // the position in the order of all epochs after its last example
};

class BatchStream {
 public:
  // From `position` on, where another batch ended. All must outlive it.
  BatchStream(const DataFile& file, const EncodePlan& plan, const tokenizer::Tokenizer& tokenizer,
              const tokenizer::Chat& chat, std::int64_t seed, std::int64_t position);

  // The next batch, of which there is no end; none when it is interrupted, which is asked before every example. Throws
  // DataError for an example that cannot be trained on, with its line, and when an epoch has none left.
  std::optional<Batch> next(const std::function<bool()>& interrupted);

  const Summary& summary() const { return summary_; }

 private:
  struct Row {
    std::size_t number;
    Example example;
  };

  std::optional<Row> next_row(const std::function<bool()>& interrupted);
  void begin_epoch(std::int64_t offset);
  void count(std::size_t number, const Example& example, std::int64_t trainable);
  Batch batch_of(const std::vector<Row>& rows) const;
  void require_ids(const std::vector<Row>& rows, const BatchShape& shape,
                   const std::vector<std::int64_t>& padded) const;

  const DataFile& file_;
  const EncodePlan& plan_;
  const tokenizer::Tokenizer& tokenizer_;
  const tokenizer::Chat& chat_;
  const std::int64_t seed_;
  std::int64_t position_;
  std::int64_t epoch_ = 0, kept_ = 0;
  bool whole_epoch_ = false;
  std::optional<Shuffle> order_;
  std::vector<bool> met_;
  Summary summary_;
};

}  // namespace lowpeak::encode
