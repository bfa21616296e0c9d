// encode: a JSONL file -> the batches that train reads, those that Python would make of it.
#include <chrono>

#include "encode/batch_files.h"
#include "encode/batch_stream.h"
#include "encode/data_file.h"
#include "runner/verbs.h"
#include "trainer/bundle.h"
#include "trainer/job.h"
#include "trainer/memory.h"

namespace lowpeak::runner {
namespace {

using namespace lowpeak::encode;
using trainer::Error;
using trainer::Event;
using trainer::JsonReader;

constexpr char kTokenizer[] = "tokenizer.json", kChat[] = "chat.json";
constexpr char kOnComputer[] =
    ": encode the data on the computer, with `lowpeak train` or `lowpeak deploy --data FILE`";
constexpr char kDropped[] = "no token to train on within the sequence length";
// Beside the tokenizer: a file's batches and their copy as they are written, and lines of up to kLines / kByte bytes.
constexpr std::int64_t kBatches = 8 << 20;
constexpr std::int64_t kLines = 2 << 20;
constexpr std::int64_t kByte = 48;  // of a line: its text, JSON, tokens and labels
constexpr std::int64_t kLine = 13;  // where it begins, its place in the order, whether it was met

struct EncodeJob {
  std::string artifact, data, batches;
  std::int64_t seed, position, first_step, total_steps, accumulate;
  std::optional<std::string> expect;

  static EncodeJob from_json(const std::string& text) {
    const trainer::Json raw = trainer::parse_job(text);
    const JsonReader job(raw, "ValueError", "the job", "job");
    EncodeJob made{job.at("artifact").text(),       job.at("data").text(),          job.at("batches").text(),
                   job.at("seed").integer(),        job.at("position").integer(),   job.at("first_step").integer(),
                   job.at("total_steps").integer(), job.at("accumulate").integer(), trainer::expected_by(job)};
    const bool counts = made.position >= 0 && made.first_step >= 0 && made.total_steps >= made.first_step;
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    if (!counts || made.accumulate < 1 || made.total_steps > kMost / made.accumulate) {
      throw Error("ValueError",
                  "the job counts wrong: position, first_step and total_steps are 0 or more and ascend, "
                  "accumulate is 1 or more");
    }
    return made;
  }
};

// The artifact's budget, against what encoding needs: the tokenizer, all lines of the file, and the longest of them.
class Room {
 public:
  Room(std::int64_t budget, const tokenizer::Tokenizer& tokenizer)
      : budget_(budget), words_(static_cast<std::int64_t>(tokenizer.bytes())) {}

  // Of a line of so many bytes, before it is read. Throws BudgetTooSmall.
  void require(std::int64_t line, std::int64_t bytes) const {
    const std::int64_t needed = words_ + kBatches + kLine * line + std::max<std::int64_t>(0, bytes * kByte - kLines);
    if (needed <= budget_) return;
    const bool is_long = bytes * kByte > kLines;
    throw Error("BudgetTooSmall",
                "encoding needs " + std::to_string(needed) + " bytes (tokenizer " + std::to_string(words_) + ", line " +
                    std::to_string(line) + (is_long ? " of " + std::to_string(bytes) + " bytes or more" : "") +
                    "), the artifact's budget is " + std::to_string(budget_) + ": " +
                    (is_long ? "split what the line holds into several, " : "") +
                    "encode the data on the computer, or compile with a larger budget",
                {{"needed_bytes", needed},
                 {"tokenizer_bytes", words_},
                 {"budget_bytes", budget_},
                 {"line", line},
                 {"line_bytes", bytes}});
  }

 private:
  const std::int64_t budget_, words_;
};

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

tokenizer::Tokenizer opened(const std::string& path) {
  try {
    return tokenizer::Tokenizer::from_file(path);
  } catch (const Error& error) {
    if (error.kind != "DataError") throw;
    throw trainer::data_error(error.what() + std::string(kOnComputer), error.numbers);
  }
}

// A signal has come.
struct Stopped {};

Event encoded(const EncodeJob& job, bool verify, const trainer::StopRequest& stop) {
  const auto started = std::chrono::steady_clock::now();
  const trainer::Manifest manifest = trainer::read_manifest(job.artifact, job.expect);
  for (const char* name : {kTokenizer, kChat}) trainer::check_file(job.artifact, manifest, name, verify);
  const EncodePlan plan = read_encode_plan(job.artifact);
  const std::int64_t first = job.first_step * job.accumulate, limit = job.total_steps * job.accumulate;
  BatchFiles files(job.batches, plan.buckets, first);
  files.require_room(limit - first);
  const auto tokenizer = opened(job.artifact + "/" + kTokenizer);
  const auto chat = tokenizer::Chat::from_artifact(job.artifact, kOnComputer);
  const Room room(plan.budget_bytes, tokenizer);
  const auto interrupted = [&] { return stop.reason() != nullptr; };
  const DataFile file(job.data, [&](std::int64_t line, std::int64_t bytes) {
    if (interrupted()) throw Stopped();
    room.require(line, bytes);
  });
  BatchStream stream(file, plan, tokenizer, chat, job.seed, job.position);
  for (std::int64_t i = first; i < limit; ++i) {
    std::optional<encode::Batch> batch = stream.next(interrupted);
    if (!batch) throw Stopped();
    files.add(std::move(*batch));
  }
  files.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  return encoded_event(stream.summary(), file, limit - first, seconds.count());
}

}  // namespace

End encode(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit) {
  const EncodeJob job = EncodeJob::from_json(trainer::read_job(arguments.job));
  try {
    emit(encoded(job, arguments.options.verify, stop));
    return End::done;
  } catch (const Stopped&) {
    emit(trainer::stopped_event(job.first_step, stop.reason()));
    return End::stopped;
  }
}

}  // namespace lowpeak::runner
