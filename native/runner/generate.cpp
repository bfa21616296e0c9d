#include <algorithm>
#include <chrono>

#include "runner/generate_job.h"
#include "runner/verbs.h"
#include "runner/watch.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "trainer/bundle.h"
#include "trainer/decoder.h"
#include "trainer/job.h"
#include "trainer/memory.h"
#include "trainer/runtime.h"
#include "trainer/sampler.h"
#include "trainer/threads.h"

namespace lowpeak::runner {
namespace {

using namespace trainer;
using tokenizer::Chat;
using tokenizer::TextStream;
using tokenizer::Tokenizer;
using Clock = std::chrono::steady_clock;

constexpr char kTokenizer[] = "tokenizer.json";

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Manifest opened(const GenerateJob& job, const TrainerOptions& options) {
  Manifest manifest = read_manifest(job.artifact, job.expect);
  check_bundle(job.artifact, manifest, options.verify);
  return manifest;
}

class Generation {
 public:
  Generation(const GenerateJob& job, const TrainerOptions& options, const MemoryUse& baseline, const StopRequest& stop)
      : job_(job),
        manifest_(opened(job, options)),
        decoder_(job.artifact, manifest_, job.work),
        sampler_(job.temperature, job.seed),
        watch_(stop, {manifest_.buckets[0].plan.budget_bytes, manifest_.generate->planned_anonymous_bytes,
                      baseline.anonymous, options.pressure_file, options.pressure_limit}),
        ends_(manifest_.generate->ends) {
    open_tokenizer();
    prompt_ = prompt();
    require_room();
    load_adapter(job.artifact, manifest_, job.checkpoint, decoder_.adapter(),
                 [&](const std::string& words) { of_adapter_ = words; });
  }

  // False: it stopped before the answer's end.
  bool run(const Emit& emit) {
    if (!of_adapter_.empty()) emit(note_event(of_adapter_));
    if (!without_text_.empty()) emit(note_event("the answer comes without its text: " + without_text_));
    std::string reason;
    const Interrupted interrupted = [&] { return watch_.again(); };
    std::int64_t count = 0;
    double seconds = 0;
    if (!watch_.at_first() && decoder_.take(prompt_, interrupted)) {
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
          {"stop_reason", reason.empty() ? watch_.reason() : reason}});
    return !reason.empty();
  }

 private:
  // Ids go in and come out also where the tokenizer is one that is not known here.
  void open_tokenizer() {
    if (manifest_.files.count(kTokenizer) == 0) return;
    try {
      tokenizer_.emplace(Tokenizer::from_file(job_.artifact + "/" + kTokenizer));
      text_.emplace(*tokenizer_);
    } catch (const Error& error) {
      if (error.kind != "DataError") throw;
      if (!job_.ids) throw data_error(error.what() + std::string(": give the prompt as ids"), error.numbers);
      without_text_ = error.what();
    }
  }

  std::vector<std::int64_t> prompt() {
    if (job_.ids) return *job_.ids;
    if (!tokenizer_) {
      throw artifact_error("the artifact " + job_.artifact + " has no " + kTokenizer +
                           ": give the prompt as ids, or compile with the model's tokenizer");
    }
    if (job_.prompt) {
      require_short(*job_.prompt);
      return tokenizer_->encode(*job_.prompt, true);
    }
    const Chat chat = Chat::from_artifact(job_.artifact, "");
    ends_.insert(ends_.end(), chat.stops.begin(), chat.stops.end());
    const std::string text = chat.prompt(*job_.messages);
    require_short(text);
    return chat.ids_of(*tokenizer_, text);
  }

  // Before memory is taken to encode what has no room, even if all its tokens were the longest.
  void require_short(const std::string& text) const {
    const auto bytes = static_cast<std::int64_t>(text.size());
    const std::int64_t most = decoder_.room() * static_cast<std::int64_t>(tokenizer_->longest());
    if (bytes <= most) return;
    throw Error("DataError",
                "the prompt has " + std::to_string(bytes) + " bytes, there is room for " +
                    std::to_string(decoder_.room()) + " tokens with the answer, of at most " +
                    std::to_string(tokenizer_->longest()) +
                    " bytes: shorten it, or compile with a larger seq_len or budget",
                {{"bytes", bytes}, {"room", decoder_.room()}});
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

  const Clock::time_point started_ = Clock::now();
  const GenerateJob& job_;
  const Manifest manifest_;
  Decoder decoder_;
  Sampler sampler_;
  Watch watch_;
  std::vector<std::int64_t> ends_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<TextStream> text_;
  std::vector<std::int64_t> prompt_;
  std::string said_, without_text_;  // the latter: why there is none
  std::string of_adapter_;           // what is to be told of it
};

}  // namespace

End generate(const Arguments& arguments, const StopRequest& stop, const Emit& emit) {
  const GenerateJob job = GenerateJob::from_json(read_job(arguments.job));
  start_runtime();
  if (const auto chosen = use_threads(arguments.options.threads, std::nullopt, false)) emit(*chosen);
  trim_allocator();
  const MemoryUse baseline = memory_now();
  emit(ready_event(baseline));
  return Generation(job, arguments.options, baseline, stop).run(emit) ? End::done : End::stopped;
}

}  // namespace lowpeak::runner
