#include "trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "batches.h"
#include "bundle.h"
#include "checkpoint.h"
#include "folder_lock.h"
#include "gradient_sum.h"
#include "json.h"
#include "memory.h"
#include "operators.h"
#include "optimizer.h"
#include "programs.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTarget[] = "executorch";

Manifest opened(const Job& job, const TrainerOptions& options) {
  Manifest manifest = read_manifest(job.artifact);
  check_bundle(job.artifact, manifest, options.verify);
  if (manifest.target != kTarget) {
    throw artifact_error("the artifact " + job.artifact + " has no program.pte; it was compiled for " +
                         manifest.target);
  }
  return manifest;
}

class Run {
 public:
  Run(const Job& job, const TrainerOptions& options, const MemoryUse& baseline)
      : job_(job),
        options_(options),
        manifest_(opened(job, options)),
        batches_(job.batches, manifest_.buckets, (job.total_steps - job.first_step) * job.accumulate),
        programs_(job.artifact, manifest_, batches_.first_bucket(), job.work),
        sum_(programs_.current().gradients(), job.accumulate, job.work),
        optimizer_(programs_.current().parameters(), job.optimizer, job.total_steps, job.work),
        guard_{manifest_.buckets[0].plan.budget_bytes, manifest_.planned_anonymous(), baseline.anonymous,
               options.pressure_file, options.pressure_limit},
        step_(job.first_step) {
    if (manifest_.offload_bytes() > 0) open_offload_file(job.work, manifest_.offload_bytes());
    if (job.checkpoint && job.first_step > 0) restore();
  }

  void run(const StopRequest& stop, const Emit& emit) {
    std::string reason;
    while (step_ < job_.total_steps && (reason = reason_to_stop(stop)).empty()) {
      const Event event = make_step();
      if (step_ % job_.checkpoint_every == 0 && step_ < job_.total_steps) save();
      emit(event);
    }
    save();
    emit(step_ >= job_.total_steps ? done_event(step_) : stopped_event(step_, reason));
  }

 private:
  Progress progress() const { return {manifest_.id, step_, job_.seed, job_.fingerprint}; }

  void restore() {
    const std::int64_t found =
        restore_checkpoint(*job_.checkpoint, progress(), programs_.current().parameters(), optimizer_.state(),
                           touched_);
    if (found != job_.first_step) {
      throw artifact_error(*job_.checkpoint + " has moved to step " + std::to_string(found) +
                           ": another process trains there");
    }
  }

  void save() {
    if (!job_.checkpoint) return;
    save_checkpoint(*job_.checkpoint, progress(), programs_.current().parameters(), optimizer_.state(),
                    touched_);
  }

  std::string reason_to_stop(const StopRequest& stop) const {
    if (stop.reason() != nullptr) return stop.reason();
    return guard_.reason(memory_now(), step_ == job_.first_step).value_or("");
  }

  Event make_step() {
    const auto started = std::chrono::steady_clock::now();
    double losses = 0;
    std::optional<std::int64_t> tokens;
    for (std::int64_t i = 0; i < job_.accumulate; ++i) {
      const Batch batch = batches_.at((step_ - job_.first_step) * job_.accumulate + i);
      Program& program = programs_.use(batch.bucket);
      losses += program.step(batch.inputs);
      sum_.add(program.gradients(), touched_);
      if (const auto more = manifest_.buckets[batch.bucket].tokens) tokens = tokens.value_or(0) + *more;
    }
    const double loss = losses / static_cast<double>(job_.accumulate);
    if (!std::isfinite(loss)) {
      throw data_error("the loss is " + python_float(loss) + " at step " + std::to_string(step_) +
                           ": train again with a lower learning rate or with clip_norm",
                       {{"step", step_}});
    }
    optimizer_.update(step_, programs_.current().parameters(), programs_.current().gradients(), touched_);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::optional<StepMemory> memory;
    if (options_.metrics) {
      const MemoryUse now = memory_now();
      peak_anonymous_ = std::max(peak_anonymous_, now.anonymous - guard_.baseline);
      memory = StepMemory{now, peak_anonymous_, manifest_.planned_peak(),
                          manifest_.planned_anonymous()};
    }
    return step_event(step_++, loss, seconds.count(), tokens, memory);
  }

  const Job& job_;
  const TrainerOptions& options_;
  const Manifest manifest_;
  const Batches batches_;
  Programs programs_;
  GradientSum sum_;
  Optimizer optimizer_;
  // Beside an arena there is no room for a second adapter and the optimizer's state.
  const Touched touched_ = [this] {
    programs_.current().release();
    optimizer_.release();
  };
  const MemoryGuard guard_;
  std::int64_t step_;
  std::int64_t peak_anonymous_ = 0;
};

}  // namespace

void train(const Job& job, const TrainerOptions& options, const StopRequest& stop, const Emit& emit) {
  start_runtime();
  trim_allocator();
  const MemoryUse baseline = memory_now();
  emit(ready_event(baseline));
  std::optional<FolderLock> lock;
  if (job.checkpoint) lock.emplace(parent_of(*job.checkpoint));
  Run(job, options, baseline).run(stop, emit);
}

}  // namespace lowpeak::trainer
