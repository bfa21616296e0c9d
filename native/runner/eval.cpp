// eval: the mean loss over prepared batches, of the adapter as a checkpoint has it, or as it begins.
#include <chrono>

#include "runner/verbs.h"
#include "runner/watch.h"
#include "trainer/batch_weight.h"
#include "trainer/batches.h"
#include "trainer/bundle.h"
#include "trainer/checkpoint.h"
#include "trainer/job.h"
#include "trainer/memory.h"
#include "trainer/operators.h"
#include "trainer/programs.h"
#include "trainer/room.h"
#include "trainer/runtime.h"
#include "trainer/threads.h"

namespace lowpeak::runner {
namespace {

using namespace lowpeak::trainer;

struct EvalJob {
  std::string artifact, work, batches;
  std::int64_t count;
  std::optional<std::string> checkpoint;
  std::optional<std::string> expect;

  static EvalJob from_json(const std::string& text) {
    const Json raw = parse_job(text);
    const JsonReader job(raw, "ValueError", "the job", "job");
    return {job.at("artifact").text(),
            job.at("work").text(),
            job.at("batches").text(),
            at_least(job, "count", 1),
            job.at("checkpoint").optional_text(),
            expected_by(job)};
  }

  // Those batches as a run has them, one a step.
  Job run() const {
    Job made{};
    made.artifact = artifact, made.work = work, made.batches = batches;
    made.total_steps = count;
    made.accumulate = 1;
    return made;
  }
};

}  // namespace

End eval(const Arguments& arguments, const StopRequest& stop, const Emit& emit) {
  const auto started = std::chrono::steady_clock::now();
  const EvalJob job = EvalJob::from_json(read_job(arguments.job));
  start_runtime();
  if (const auto chosen = use_threads(arguments.options.threads, std::nullopt, false)) emit(*chosen);
  if (const auto words = told_of_memory(job.work)) emit(note_event(*words));
  trim_allocator();
  const MemoryUse baseline = memory_now();
  const Manifest manifest = read_manifest(job.artifact, job.expect);
  check_bundle(job.artifact, manifest, arguments.options.verify);
  Batches batches(job.run(), manifest.buckets);
  const KernelSession session;
  Programs programs(job.artifact, manifest, batches.first_bucket(), job.work, session);
  // Closed before the arena goes that it reads into.
  std::optional<OffloadFile> offload_file;
  if (manifest.offload_bytes() > 0) offload_file.emplace(session, job.work, manifest.offload_bytes());
  if (job.checkpoint) {
    restore_adapter(
        *job.checkpoint, manifest.id, programs.current().parameters(), [&] { programs.current().release(); },
        [&](const std::string& words) { emit(note_event(words)); });
  }
  Watch watch(stop, {manifest.buckets[0].plan.budget_bytes, manifest.planned_anonymous(), baseline.anonymous,
                     arguments.options.pressure_file, arguments.options.pressure_limit});
  const auto interrupted = [&] { return watch.again(); };
  double losses = 0;
  std::int64_t labels = 0;
  for (std::int64_t i = 0; i < job.count; ++i) {
    const bool begins = i > 0 || !watch.at_first();
    const std::optional<Batch> batch = begins ? batches.at(i, interrupted) : std::nullopt;
    // The whole step: the runtime cannot begin another before it has ended one. Its gradients are left.
    const std::optional<float> loss =
        batch ? programs.use(batch->bucket).step(batch->inputs, interrupted) : std::nullopt;
    if (!loss) {
      emit(stopped_event(i, watch.reason()));
      return End::stopped;
    }
    const std::int64_t weight = weight_of(*batch, manifest.buckets[batch->bucket]);
    losses += static_cast<double>(weight) * *loss;
    labels += weight;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  emit({{"event", "evaluated"},
        {"loss", losses / static_cast<double>(labels)},
        {"labels", labels},
        {"batches", job.count},
        {"seconds", seconds.count()},
        {"peak_rss_bytes", memory_now().peak_rss}});
  return End::done;
}

}  // namespace lowpeak::runner
