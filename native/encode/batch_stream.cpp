#include "encode/batch_stream.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "trainer/error.h"

namespace lowpeak::encode {
namespace {

using trainer::data_error;

std::int64_t padding(const EncodePlan& plan, const tokenizer::Chat& chat) {
  const auto& ids = plan.buckets.back().input_ids;
  return chat.pad && *chat.pad >= 0 && (!ids || *chat.pad < ids->rows) ? *chat.pad : 0;
}

std::vector<std::int64_t> shifted(const std::vector<std::int64_t>& labels, std::size_t length) {
  std::vector<std::int64_t> made(labels.size(), kNoLoss);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (i % length + 1 < length) made[i] = labels[i + 1];
  }
  return made;
}

void require_lines(std::size_t count) {
  if (count > std::numeric_limits<std::int32_t>::max()) {
    throw data_error("the data has " + std::to_string(count) + " lines, more than can be put in order here");
  }
}

}  // namespace

BatchStream::BatchStream(const DataFile& file, const EncodePlan& plan, const tokenizer::Tokenizer& tokenizer,
                         const tokenizer::Chat& chat, std::int64_t seed, std::int64_t position)
    : file_(file),
      plan_(plan),
      tokenizer_(tokenizer),
      chat_(chat),
      seed_(seed),
      position_(position),
      met_(file.size()) {
  require_lines(file.size());
  epoch_ = position / static_cast<std::int64_t>(file.size());
  begin_epoch(position % static_cast<std::int64_t>(file.size()));
}

void BatchStream::begin_epoch(std::int64_t offset) {
  order_.emplace(static_cast<std::uint32_t>(file_.size()), seed_, epoch_);
  for (std::int64_t i = 0; i < offset; ++i) order_->next();
  whole_epoch_ = offset == 0;
  kept_ = 0;
}

std::optional<Batch> BatchStream::next(const std::function<bool()>& interrupted) {
  std::vector<Row> rows;
  while (rows.size() < static_cast<std::size_t>(plan_.buckets.back().batch_size)) {
    std::optional<Row> row = next_row(interrupted);
    if (!row) return std::nullopt;
    rows.push_back(std::move(*row));
  }
  return batch_of(rows);
}

std::optional<BatchStream::Row> BatchStream::next_row(const std::function<bool()>& interrupted) {
  const auto length = static_cast<std::size_t>(plan_.buckets.back().seq_len);
  for (;;) {
    if (order_->ended()) {
      if (kept_ == 0 && whole_epoch_) {
        const std::int64_t enough = std::max(summary_.enough, static_cast<std::int64_t>(length));
        throw data_error(
            "none of " + std::to_string(file_.size()) + " examples has a trainable token among its first " +
                std::to_string(length) + ": raise seq_len (" + std::to_string(enough) +
                " keeps them all) or shorten the prompts",
            {{"examples", static_cast<std::int64_t>(file_.size())}, {"seq_len", static_cast<std::int64_t>(length)}});
      }
      ++epoch_;
      begin_epoch(0);
    }
    if (interrupted()) return std::nullopt;
    const std::size_t number = order_->next();
    ++position_;
    Row row{number, {}};
    try {
      row.example = encoded(file_.record(number), tokenizer_, chat_);
    } catch (const trainer::Error& error) {
      throw file_.at_line(number, error);
    }
    const std::int64_t trainable = row.example.trainable(length);
    count(number, row.example, trainable);
    if (trainable == 0) continue;
    ++kept_;
    if (row.example.ids.size() > length) {
      row.example.ids.resize(length);
      row.example.labels.resize(length);
      row.example.ids.shrink_to_fit();
      row.example.labels.shrink_to_fit();
    }
    return row;
  }
}

void BatchStream::count(std::size_t number, const Example& example, std::int64_t trainable) {
  const auto size = static_cast<std::int64_t>(example.ids.size());
  const std::int64_t length = plan_.buckets.back().seq_len;
  if (trainable > 0) {
    summary_.tokens += std::min(size, length);
    summary_.trainable += trainable;
  }
  if (met_[number]) return;
  met_[number] = true;
  ++summary_.seen;
  summary_.longest = std::max(summary_.longest, size);
  for (const std::string& warning : example.warnings) ++summary_.warnings[warning];
  if (trainable > 0) {
    summary_.truncated += size > length;
  } else {
    ++summary_.dropped;
    summary_.enough = std::max(summary_.enough, example.enough());
  }
}

Batch BatchStream::batch_of(const std::vector<Row>& rows) const {
  std::size_t longest = 0;
  for (const Row& row : rows) longest = std::max(longest, row.example.ids.size());
  Batch made{};
  while (static_cast<std::size_t>(plan_.buckets[made.bucket].seq_len) < longest) ++made.bucket;
  made.end = position_;
  const BatchShape& shape = plan_.buckets[made.bucket];
  const auto length = static_cast<std::size_t>(shape.seq_len);
  std::vector<std::int64_t> labels;
  for (const Row& row : rows) {
    made.input_ids.insert(made.input_ids.end(), row.example.ids.begin(), row.example.ids.end());
    labels.insert(labels.end(), row.example.labels.begin(), row.example.labels.end());
    const std::size_t size = (&row - rows.data() + 1) * length;
    made.input_ids.resize(size, padding(plan_, chat_));
    labels.resize(size, kNoLoss);
  }
  require_ids(rows, shape, made.input_ids);
  made.targets = shifted(labels, length);
  if (!shape.rows) return made;
  std::vector<std::int64_t> picked;
  for (std::size_t i = 0; i < made.targets.size(); ++i) {
    if (made.targets[i] == kNoLoss) continue;
    made.rows.push_back(static_cast<std::int64_t>(i));
    picked.push_back(made.targets[i]);
  }
  const auto room = static_cast<std::size_t>(*shape.rows);
  if (picked.size() > room) {
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, "%.2f", static_cast<double>(picked.size()) / static_cast<double>(labels.size()));
    throw data_error(
        "the batch has " + std::to_string(picked.size()) + " tokens with a label, the artifact has room for " +
            std::to_string(room) + "; compile with trainable_ratio " + ratio + " or more, or mask more of the prompt",
        {{"trainable_tokens", static_cast<std::int64_t>(picked.size())}, {"rows", static_cast<std::int64_t>(room)}});
  }
  made.rows.resize(room, 0);
  picked.resize(room, kNoLoss);
  made.targets = std::move(picked);
  return made;
}

// Labels are ids of the same tokens.
void BatchStream::require_ids(const std::vector<Row>& rows, const BatchShape& shape,
                              const std::vector<std::int64_t>& padded) const {
  const auto length = static_cast<std::size_t>(shape.seq_len);
  for (std::size_t i = 0; i < padded.size(); ++i) {
    const std::vector<std::int64_t>& labels = rows[i / length].example.labels;
    const bool labelled = i % length < labels.size() && labels[i % length] != kNoLoss;
    for (const auto* ids : {&shape.input_ids, labelled ? &shape.targets : &shape.input_ids}) {
      if (!*ids || (padded[i] >= (*ids)->least && padded[i] < (*ids)->rows)) continue;
      const std::string row = std::to_string(i / length), token = std::to_string(i % length);
      throw file_.at_line(
          rows[i / length].number,
          data_error(std::string(ids == &shape.targets ? "labels" : "input_ids") + "[" + row + ", " + token + "] is " +
                         std::to_string(padded[i]) + " (example " + row + ", token " + token + "), but there are " +
                         std::to_string((*ids)->rows) + " rows for its values: they must be from " +
                         std::to_string((*ids)->least) + " to " + std::to_string((*ids)->rows - 1),
                     {{"id", padded[i]}, {"rows", (*ids)->rows}}));
    }
  }
}

}  // namespace lowpeak::encode
