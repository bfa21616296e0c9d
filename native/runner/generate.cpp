#include <algorithm>
#include <chrono>

#include "generate_job.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "trainer/bundle.h"
#include "trainer/decoder.h"
#include "trainer/job.h"
#include "trainer/memory.h"
#include "trainer/sampler.h"
#include "trainer/threads.h"
#include "verbs.h"

namespace lowpeak::runner {
namespace {

using namespace trainer;
using tokenizer::Chat;
using tokenizer::TextStream;
using tokenizer::Tokenizer;
using Clock = std::chrono::steady_clock;

constexpr char kTokenizer[] = "tokenizer.json";
constexpr std::chrono::seconds kBetweenLooks{1};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Manifest opened(const GenerateJob& job, const TrainerOptions& options) {
  Manifest manifest = read_manifest(job.artifact);
  check_bundle(job.artifact, manifest, options.verify);
  return manifest;
}

class Generation {
 public:
  Generation(const GenerateJob& job, const TrainerOptions& options, const MemoryUse& baseline)
      : job_(job),
        manifest_(opened(job, options)),
        decoder_(job.artifact, manifest_, job.work),
        sampler_(job.temperature, job.seed),
        guard_{manifest_.buckets[0].plan.budget_bytes, manifest_.generate->planned_anonymous_bytes,
               baseline.anonymous, options.pressure_file, options.pressure_limit},
        ends_(manifest_.generate->ends) {
    if (manifest_.files.count(kTokenizer) > 0) tokenizer_.emplace(Tokenizer::from_file(job.artifact + "/" + kTokenizer));
    if (tokenizer_) text_.emplace(*tokenizer_);
    prompt_ = prompt();
    require_room();
    load_adapter(job.artifact, manifest_, job.checkpoint, decoder_.adapter());
  }

  void run(const StopRequest& stop, const Emit& emit) {
    std::string reason = reason_to_stop(stop, true);
    const Interrupted interrupted = [&] { return !(reason = reason_to_stop(stop, false)).empty(); };
    std::int64_t count = 0;
    double seconds = 0;
    if (reason.empty() && decoder_.take(prompt_, interrupted)) {
      const auto start = Clock::now();
      while (true) {
        const std::int64_t token = sampler_.next(decoder_.logits(), manifest_.generate->vocabulary);
        ++count;
        const bool is_end = std::find(ends_.begin(), ends_.end(), token) != ends_.end();
        emit(token_event(token, is_end ? "" : text_ ? text_->next(token) : ""));
        seconds = seconds_since(start);
        if (is_end) reason = "end";
        if (!is_end && (count == job_.max_tokens || decoder_.room() == 0)) reason = "length";
        if (!reason.empty() || !decoder_.take({token}, interrupted)) break;
      }
    }
    if (text_) said_ += text_->rest();
    emit({{"event", "generated"},
          {"text", said_},
          {"tokens", count},
          {"prompt_tokens", prompt_.size()},
          {"seconds", seconds_since(started_)},
          {"tokens_per_second", seconds > 0 ? Event(static_cast<double>(count - 1) / seconds) : Event()},
          {"peak_rss_bytes", memory_now().peak_rss},
          {"stop_reason", reason}});
  }

 private:
  std::vector<std::int64_t> prompt() {
    if (job_.ids) return *job_.ids;
    if (!tokenizer_) {
      throw artifact_error("the artifact " + job_.artifact + " has no " + kTokenizer +
                           ": give the prompt as ids, or compile with the model's tokenizer");
    }
    if (job_.prompt) return tokenizer_->encode(*job_.prompt, true);
    const Chat chat = Chat::from_artifact(job_.artifact);
    ends_.insert(ends_.end(), chat.stops.begin(), chat.stops.end());
    return chat.prompt_of(*tokenizer_, *job_.messages);
  }

  void require_room() const {
    const std::int64_t vocabulary = manifest_.generate->vocabulary;
    for (const std::int64_t id : prompt_) {
      if (id >= 0 && id < vocabulary) continue;
      throw Error("DataError", "the prompt has token " + std::to_string(id) + ", the model has rows for 0 to " +
                                   std::to_string(vocabulary - 1));
    }
    if (prompt_.empty()) throw Error("DataError", "the prompt has no token: give some text");
    const auto tokens = static_cast<std::int64_t>(prompt_.size());
    if (tokens > decoder_.room()) {
      throw Error("DataError",
                  "the prompt has " + std::to_string(tokens) + " tokens, there is room for " +
                      std::to_string(decoder_.room()) +
                      " with the answer: shorten it, or compile with a larger seq_len or budget",
                  {{"tokens", tokens}, {"room", decoder_.room()}});
    }
  }

  Event token_event(std::int64_t id, const std::string& piece) {
    said_ += piece;
    return {{"event", "token"}, {"id", id}, {"text", piece}};
  }

  // A signal at once, memory now and then, for which a file is read.
  std::string reason_to_stop(const StopRequest& stop, bool before_first) {
    if (stop.reason() != nullptr) return stop.reason();
    const auto now = Clock::now();
    if (now < next_look_ && !before_first) return "";
    next_look_ = now + kBetweenLooks;
    return guard_.reason(memory_now(), before_first).value_or("");
  }

  const Clock::time_point started_ = Clock::now();
  const GenerateJob& job_;
  const Manifest manifest_;
  Decoder decoder_;
  Sampler sampler_;
  const MemoryGuard guard_;
  std::vector<std::int64_t> ends_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<TextStream> text_;
  std::vector<std::int64_t> prompt_;
  std::string said_;
  Clock::time_point next_look_{};
};

}  // namespace

void generate(const Arguments& arguments, const StopRequest& stop, const Emit& emit) {
  const GenerateJob job = GenerateJob::from_json(read_job(arguments.job));
  start_runtime();
  if (const auto chosen = use_threads(arguments.options.threads, std::nullopt, false)) emit(*chosen);
  trim_allocator();
  const MemoryUse baseline = memory_now();
  emit(ready_event(baseline));
  Generation(job, arguments.options, baseline).run(stop, emit);
}

}  // namespace lowpeak::runner
