#include "trainer/job.h"

#include "trainer/files.h"

namespace lowpeak::trainer {
Job Job::from_json(const std::string& text) {
  const Json raw = parse_job(text);
  const JsonReader job(raw, "ValueError", "the job", "job");
  Job made{job.at("artifact").text(),
           job.at("work").text(),
           job.at("batches").text(),
           job.at("streamed").boolean(),
           job.at("data").text(),
           at_least(job, "position", 0),
           at_least(job, "first_step", 0),
           at_least(job, "total_steps", 1),
           at_least(job, "accumulate", 1),
           job.at("seed").integer(),
           OptimizerOptions::from_json(job.at("optimizer")),
           job.at("checkpoint").optional_text(),
           at_least(job, "checkpoint_every", 1),
           {},
           expected_by(job)};
  made.options = option_fields(made.optimizer, made.accumulate, made.total_steps);
  return made;
}

std::string read_job(const std::string& path) {
  try {
    return read_text(path);
  } catch (const SystemError& error) {
    throw environment_problem("the job " + path + " cannot be read: " + error.what());
  }
}

std::optional<std::string> expected_by(const JsonReader& job) {
  if (!job.has("expect")) return std::nullopt;
  const std::optional<std::string> hash = job.at("expect").optional_text();
  if (hash && (hash->size() != 64 || hash->find_first_not_of("0123456789abcdef") != std::string::npos)) {
    throw Error("ValueError", "expect is a sha256, 64 digits of 0-9 and a-f, not " + python_repr(*hash));
  }
  return hash;
}

std::int64_t at_least(const JsonReader& job, const char* name, std::int64_t least) {
  const std::int64_t value = job.at(name).integer();
  if (value < least) {
    throw Error("ValueError", std::string(name) + " must be " + (least ? "positive" : "0 or more") + ", not " +
                                  std::to_string(value));
  }
  return value;
}

Json parse_job(const std::string& text) {
  try {
    return parse_json(text);
  } catch (const Json::exception& error) {
    throw Error("ValueError", std::string("the job is not JSON: ") + error.what());
  }
}

}  // namespace lowpeak::trainer
