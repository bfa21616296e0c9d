#include "runner/generate_job.h"

#include "trainer/job.h"
#include "trainer/json.h"

namespace lowpeak::runner {
namespace {

using trainer::Error;
using trainer::JsonReader;

std::vector<tokenizer::Message> messages_of(const JsonReader& list) {
  std::vector<tokenizer::Message> made;
  for (const JsonReader& item : list.items()) made.push_back({item.at("role").text(), item.at("content").text()});
  return made;
}

bool is_given(const JsonReader& job, const char* name) { return job.has(name) && !job.at(name).is_null(); }

}  // namespace

GenerateJob GenerateJob::from_json(const std::string& text) {
  const trainer::Json raw = trainer::parse_job(text);
  const JsonReader job(raw, "ValueError", "the job", "job");
  GenerateJob made{job.at("artifact").text(),
                   job.at("work").text(),
                   job.at("checkpoint").optional_text(),
                   std::nullopt,
                   std::nullopt,
                   std::nullopt,
                   trainer::at_least(job, "max_tokens", 1),
                   job.at("temperature").number(),
                   job.at("seed").integer(),
                   trainer::expected_by(job)};
  if (is_given(job, "prompt")) made.prompt = job.at("prompt").text();
  if (is_given(job, "messages")) made.messages = messages_of(job.at("messages"));
  if (is_given(job, "ids")) made.ids = job.at("ids").integers();
  if (made.prompt.has_value() + made.messages.has_value() + made.ids.has_value() != 1) {
    throw Error("ValueError", "the job has to give one of prompt, messages and ids");
  }
  return made;
}

}  // namespace lowpeak::runner
