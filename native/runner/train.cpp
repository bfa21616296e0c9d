#include "trainer/checkpoint.h"
#include "trainer/files.h"
#include "trainer/job.h"
#include "trainer/trainer.h"
#include "verbs.h"

namespace lowpeak::runner {
namespace {

using trainer::Job;

// What of the run is the same is checked when the checkpoint is restored.
Job continued(Job job) {
  if (!job.checkpoint || !trainer::file_exists(*job.checkpoint)) return job;
  const trainer::Progress progress = trainer::read_progress(*job.checkpoint);
  job.first_step = progress.step;
  job.position = progress.position;
  return job;
}

}  // namespace

void train(const Arguments& arguments, const trainer::StopRequest& stop, const trainer::Emit& emit) {
  const Job job = Job::from_json(trainer::read_job(arguments.job));
  trainer::train(arguments.resume ? continued(job) : job, arguments.options, stop, emit);
}

}  // namespace lowpeak::runner
