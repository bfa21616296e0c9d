// encode: a JSONL file -> the batches that train reads, those that Python would make of it.
#include <chrono>

#include "encode/batch_files.h"
#include "encode/batch_stream.h"
#include "encode/data_file.h"
#include "trainer/job.h"
#include "trainer/memory.h"
#include "verbs.h"

namespace lowpeak::runner {
namespace {

using namespace lowpeak::encode;
using trainer::Error;
using trainer::Event;
using trainer::JsonReader;

constexpr char kOnComputer[] =
    ": encode the data on the computer, with `lowpeak train` or `lowpeak deploy --data FILE`";
constexpr char kDropped[] = "no token to train on within the sequence length";
// Beside the tokenizer: a file's batches and their copy as they are written, and lines as they are read.
constexpr std::int64_t kBatches = 8 << 20;
constexpr std::int64_t kLine = 13;  // where it begins, its place in the order, whether it was met

struct EncodeJob {
  std::string artifact, data, batches;
  std::int64_t seed, position, first_step, total_steps, accumulate;

  static EncodeJob from_json(const std::string& text) {
    const trainer::Json raw = trainer::parse_job(text);
    const JsonReader job(raw, "ValueError", "the job", "job");
    EncodeJob made{job.at("artifact").text(),        job.at("data").text(),
                   job.at("batches").text(),         job.at("seed").integer(),
                   job.at("position").integer(),     job.at("first_step").integer(),
                   job.at("total_steps").integer(),  job.at("accumulate").integer()};
    const bool counts = made.position >= 0 && made.first_step >= 0 && made.total_steps >= made.first_step;
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    if (!counts || made.accumulate < 1 || made.total_steps > kMost / made.accumulate) {
      throw Error("ValueError", "the job counts wrong: position, first_step and total_steps are 0 or more and ascend, "
                                "accumulate is 1 or more");
    }
    return made;
  }
};

void require_budget(const EncodePlan& plan, const tokenizer::Tokenizer& tokenizer, const DataFile& file) {
  const auto words = static_cast<std::int64_t>(tokenizer.bytes());
  const std::int64_t needed = words + kBatches + kLine * static_cast<std::int64_t>(file.size());
  if (plan.budget_bytes <= 0 || needed <= plan.budget_bytes) return;
  throw Error("BudgetTooSmall",
              "encoding needs " + std::to_string(needed) + " bytes (tokenizer " + std::to_string(words) + ", " +
                  std::to_string(file.size()) + " lines), the artifact's budget is " +
                  std::to_string(plan.budget_bytes) +
                  ": encode the data on the computer, or compile with a larger budget",
              {{"needed_bytes", needed}, {"tokenizer_bytes", words}, {"budget_bytes", plan.budget_bytes}});
}

Event encoded_event(const Summary& summary, const DataFile& file, std::int64_t batches, double seconds) {
  Event left_out = Event::object();
  if (summary.dropped > 0) left_out[kDropped] = summary.dropped;
  Event warnings = Event::object();
  for (const auto& [words, count] : summary.warnings) warnings[words] = count;
  return {{"event", "encoded"},
          {"examples", summary.seen},
          {"of", file.size()},
          {"left_out", left_out},
          {"warnings", warnings},
          {"truncated", summary.truncated},
          {"longest", summary.longest},
          {"batches", batches},
          {"tokens", summary.tokens},
          {"trainable_tokens", summary.trainable},
          {"data", file.sha256()},
          {"seconds", seconds},
          {"peak_rss_bytes", trainer::memory_now().peak_rss}};
}

}  // namespace

void encode(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit) {
  const auto started = std::chrono::steady_clock::now();
  const EncodeJob job = EncodeJob::from_json(trainer::read_job(arguments.job));
  const EncodePlan plan = read_encode_plan(job.artifact);
  const DataFile file(job.data);
  const auto tokenizer = tokenizer::Tokenizer::from_file(job.artifact + "/tokenizer.json");
  const auto chat = tokenizer::Chat::from_artifact(job.artifact, kOnComputer);
  require_budget(plan, tokenizer, file);
  BatchStream stream(file, plan, tokenizer, chat, job.seed, job.position);
  const std::int64_t first = job.first_step * job.accumulate, limit = job.total_steps * job.accumulate;
  BatchFiles files(job.batches, plan.buckets, first);
  const auto interrupted = [&] { return stop.reason() != nullptr; };
  for (std::int64_t i = first; i < limit; ++i) {
    std::optional<encode::Batch> batch = stream.next(interrupted);
    if (!batch) {
      emit(trainer::stopped_event(job.first_step, stop.reason()));
      return;
    }
    files.add(std::move(*batch));
  }
  files.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  emit(encoded_event(stream.summary(), file, limit - first, seconds.count()));
}

}  // namespace lowpeak::runner
