#include "runner/verbs.h"
#include "trainer/files.h"
#include "trainer/folder_lock.h"
#include "trainer/generations.h"
#include "trainer/job.h"
#include "trainer/trainer.h"

namespace lowpeak::runner {
namespace {

using trainer::Job;

// What of the run is the same is checked when the checkpoint is restored.
Job continued(Job job) {
  if (!job.checkpoint) return job;
  // What there is to tell of it the trainer tells.
  const auto found = trainer::newest_of(*job.checkpoint, [](const std::string&) {});
  if (!found) return job;
  job.first_step = found->progress.step;
  job.position = found->progress.position;
  return job;
}

}  // namespace

End train(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit) {
  Job job = Job::from_json(trainer::read_job(arguments.job));
  std::optional<trainer::FolderLock> lock;
  if (job.checkpoint) lock.emplace(trainer::parent_of(*job.checkpoint), arguments.lock);
  // Only now, for another process may have gone on until here.
  if (arguments.resume) job = continued(std::move(job));
  return trainer::train(job, arguments.options, stop, emit) ? End::done : End::stopped;
}

}  // namespace lowpeak::runner
