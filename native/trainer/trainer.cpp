#include "trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "trainer/batch_weight.h"
#include "trainer/batches.h"
#include "trainer/bundle.h"
#include "trainer/checkpoint.h"
#include "trainer/files.h"
#include "trainer/gradient_sum.h"
#include "trainer/json.h"
#include "trainer/memory.h"
#include "trainer/operators.h"
#include "trainer/optimizer.h"
#include "trainer/programs.h"
#include "trainer/room.h"
#include "trainer/runtime.h"

namespace lowpeak::trainer {
namespace {

constexpr char kTarget[] = "executorch";
constexpr std::chrono::seconds kBetweenLooks{1};

Manifest opened(const Job& job, const TrainerOptions& options) {
  Manifest manifest = read_manifest(job.artifact, job.expect);
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
        batches_(job, manifest_.buckets),
        programs_(job.artifact, manifest_, batches_.first_bucket(), job.work, session_),
        sum_(programs_.current().gradients(), job.accumulate, job.work),
        optimizer_(programs_.current().parameters(), job.optimizer, job.total_steps, job.work),
        guard_{manifest_.buckets[0].plan.budget_bytes, manifest_.planned_anonymous(), baseline.anonymous,
               options.pressure_file, options.pressure_limit},
        step_(job.first_step),
        position_(job.position) {
    if (manifest_.offload_bytes() > 0) offload_file_.emplace(session_, job.work, manifest_.offload_bytes());
    if (job.checkpoint && job.first_step > 0) restore();
    if (job.checkpoint) require_checkpoint_room(*job.checkpoint, programs_.current().parameters(), optimizer_.state());
  }

  // False: it stopped before its goal.
  bool run(const StopRequest& stop, const Emit& emit) {
    std::string reason;
    while (step_ < job_.total_steps && (reason = reason_to_stop(stop)).empty()) {
      const std::optional<Event> event = make_step([&] { return !(reason = reason_to_stop_now(stop)).empty(); });
      if (!event) break;
      if (step_ % job_.checkpoint_every == 0 && step_ < job_.total_steps) save();
      emit(*event);
    }
    save();
    const bool done = step_ >= job_.total_steps;
    emit(done ? done_event(step_) : stopped_event(step_, reason));
    return done;
  }

 private:
  Progress progress() const {
    return {manifest_.id, step_, job_.seed, fingerprint_of(job_.options), job_.options, job_.data, position_};
  }

  void restore() {
    const std::int64_t found = restore_checkpoint(*job_.checkpoint, progress(), programs_.current().parameters(),
                                                  optimizer_.state(), touched_);
    if (found != job_.first_step) {
      throw artifact_error(*job_.checkpoint + " has moved to step " + std::to_string(found) +
                           ": another process trains there");
    }
  }

  // Nothing before the first update: there is the checkpoint that the run began with, or none.
  void save() {
    if (!job_.checkpoint || step_ == job_.first_step) return;
    save_checkpoint(*job_.checkpoint, progress(), programs_.current().parameters(), optimizer_.state(), touched_);
  }

  std::string reason_to_stop(const StopRequest& stop) const {
    if (stop.reason() != nullptr) return stop.reason();
    return guard_.reason(memory_now(), step_ == job_.first_step).value_or("");
  }

  // Within a step: a signal at once, memory now and then, for which a file is read.
  std::string reason_to_stop_now(const StopRequest& stop) {
    if (stop.reason() != nullptr) return stop.reason();
    if (batches_.abandoned()) return "nobody writes the batches";
    const auto now = std::chrono::steady_clock::now();
    if (now < next_look_) return "";
    next_look_ = now + kBetweenLooks;
    return guard_.reason(memory_now(), false).value_or("");
  }

  // None when it is interrupted: the adapter is as before.
  std::optional<Event> make_step(const Interrupted& interrupted) {
    const auto started = std::chrono::steady_clock::now();
    double losses = 0;
    std::int64_t weights = 0;
    std::optional<std::int64_t> tokens;
    for (std::int64_t i = 0; i < job_.accumulate; ++i) {
      const std::optional<Batch> batch = next_batch(step_ * job_.accumulate + i, interrupted);
      if (!batch) return std::nullopt;
      const std::optional<WeightedLoss> added = add_gradients(*batch, interrupted);
      if (!added) return std::nullopt;
      losses += static_cast<double>(added->weight) * added->loss;
      weights += added->weight;
      if (const auto more = manifest_.buckets[batch->bucket].tokens) tokens = tokens.value_or(0) + *more;
    }
    const double loss = losses / static_cast<double>(weights);
    if (!std::isfinite(loss)) throw not_finite("the loss is " + python_float(loss), step_);
    optimizer_.update(step_, programs_.current().parameters(), programs_.current().gradients(), touched_);
    position_ = batches_.end();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::optional<StepMemory> memory;
    if (options_.metrics) {
      const MemoryUse now = memory_now();
      peak_anonymous_ = std::max(peak_anonymous_, now.anonymous - guard_.baseline);
      memory = StepMemory{now, peak_anonymous_, manifest_.planned_peak(), manifest_.planned_anonymous()};
    }
    return step_event(step_++, loss, seconds.count(), tokens, memory);
  }

  std::optional<Batch> next_batch(std::int64_t index, const Interrupted& interrupted) {
    try {
      return batches_.at(index, interrupted);
    } catch (const Error&) {
      keep_steps();
      throw;
    }
  }

  struct WeightedLoss {
    float loss;
    std::int64_t weight;
  };

  // What fails here has not touched the adapter, so the steps before it are kept.
  std::optional<WeightedLoss> add_gradients(const Batch& batch, const Interrupted& interrupted) {
    try {
      const std::int64_t weight = weight_of(batch, manifest_.buckets[batch.bucket]);
      Program& program = programs_.use(batch.bucket);
      const std::optional<float> loss = program.step(batch.inputs, interrupted);
      if (!loss) return std::nullopt;
      sum_.add(program.gradients(), weight, touched_);
      return WeightedLoss{*loss, weight};
    } catch (const Error&) {
      keep_steps();
      throw;
    }
  }

  void keep_steps() {
    try {
      save();
    } catch (const Error&) {
      // The failure that led here is the one to tell; the checkpoint before is intact.
    }
  }

  const Job& job_;
  const TrainerOptions& options_;
  const Manifest manifest_;
  Batches batches_;
  const KernelSession session_;
  Programs programs_;
  std::optional<OffloadFile> offload_file_;  // closed before the arena goes that it reads into
  GradientSum sum_;
  Optimizer optimizer_;
  // Beside an arena there is no room for a second adapter and the optimizer's state.
  const Touched touched_ = [this] {
    programs_.current().release();
    optimizer_.release();
  };
  const MemoryGuard guard_;
  std::int64_t step_;
  std::int64_t position_;  // where the last step ended in the order of the data
  std::int64_t peak_anonymous_ = 0;
  std::chrono::steady_clock::time_point next_look_{};
};

// Where memory pressure is not told, whoever started the run has to watch the system's memory.
std::optional<Event> without_pressure(const std::string& file) {
  const Pressure found = read_pressure(file);
  if (found.percent) return std::nullopt;
  return note_event("memory pressure is not watched, as " + file + " cannot be read (" + found.problem +
                    "): the run stops by itself for its budget only");
}

// A run that begins replaces no other.
void require_no_run(const std::string& checkpoint) {
  const auto found = newest_of(checkpoint, [](const std::string&) {});
  if (!found) return;
  const std::int64_t step = found->progress.step;
  throw artifact_error(parent_of(checkpoint) + " holds a training run of " + std::to_string(step) +
                           " steps: resume it, or give a new folder",
                       {{"steps", step}});
}

}  // namespace

bool train(const Job& job, const TrainerOptions& options, const StopRequest& stop, const Emit& emit) {
  start_runtime();
  trim_allocator();
  const MemoryUse baseline = memory_now();
  emit(ready_event(baseline));
  if (job.checkpoint && job.first_step == 0) require_no_run(*job.checkpoint);
  if (job.checkpoint && job.first_step > 0) {
    settle(*job.checkpoint, [&](const std::string& words) { emit(note_event(words)); });
  }
  if (const auto note = use_threads(options.threads, job.checkpoint, job.first_step > 0)) emit(*note);
  if (const auto words = told_of_memory(job.work)) emit(note_event(*words));
  if (const auto note = without_pressure(options.pressure_file)) emit(*note);
  return Run(job, options, baseline).run(stop, emit);
}

}  // namespace lowpeak::trainer
