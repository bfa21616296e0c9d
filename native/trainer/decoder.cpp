#include "trainer/decoder.h"

#include <algorithm>
#include <cstring>

#include "trainer/checkpoint.h"
#include "trainer/error.h"
#include "trainer/json.h"
#include "trainer/safetensors.h"

namespace lowpeak::trainer {
namespace {

constexpr char kProgram[] = "generate.pte";
constexpr char kFirstValues[] = "adapter.safetensors";
constexpr std::size_t kToken = 0, kPrompt = 1;

const GenerateRecord& record_of(const std::string& artifact, const Manifest& manifest) {
  if (manifest.generate && manifest.files.count(kProgram) > 0) return *manifest.generate;
  const std::string why = manifest.generate_problem.value_or("it was compiled without");
  throw artifact_error("the artifact " + artifact + " has no program that generates: " + why);
}

std::vector<TensorRecord> inputs_of(std::int64_t tokens) {
  return {{"input_ids", {1, tokens}, "int64"}, {"position_ids", {1, tokens}, "int64"}};
}

}  // namespace

Decoder::Decoder(const std::string& artifact, const Manifest& manifest, const std::string& work)
    : record_(record_of(artifact, manifest)),
      methods_(artifact + "/" + kProgram, artifact + "/" + manifest.weights_file, manifest,
               {{"token", inputs_of(1), 1 + manifest.parameters.size(), record_.arena_bytes, record_.state_bytes},
                {"prompt", inputs_of(record_.prompt_tokens), 1, record_.arena_bytes, record_.state_bytes}},
               Methods::State::memory, work, session_) {
  std::vector<TensorRecord> parameters = manifest.parameters;
  std::sort(parameters.begin(), parameters.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  logits_ = methods_.output(kToken, 0, {"the logits", {1, 1, record_.vocabulary}, "float32"}).data;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    adapter_.push_back(methods_.output(kToken, 1 + i, parameters[i]));
  }
  methods_.read_weights_ahead();
}

bool Decoder::take(const std::vector<std::int64_t>& tokens, const Interrupted& interrupted) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  std::int64_t done = 0;
  // The last token's logits are wanted, which the prompt's method does not give.
  for (; count - done > record_.prompt_tokens; done += record_.prompt_tokens) {
    if (!run(kPrompt, tokens.data() + done, record_.prompt_tokens, interrupted)) return false;
  }
  for (; done < count; ++done) {
    if (!run(kToken, tokens.data() + done, 1, interrupted)) return false;
  }
  return true;
}

bool Decoder::run(std::size_t method, const std::int64_t* tokens, std::int64_t count, const Interrupted& interrupted) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) positions[static_cast<std::size_t>(i)] = taken_ + i;
  if (!methods_.run(method, {tokens, positions.data()}, interrupted)) return false;
  taken_ += count;
  return true;
}

void load_adapter(const std::string& artifact, const Manifest& manifest, const std::optional<std::string>& checkpoint,
                  const std::vector<TensorView>& adapter, const Tell& tell) {
  if (checkpoint) {
    restore_adapter(*checkpoint, manifest.id, adapter, [] {}, tell);
    return;
  }
  const std::string path = artifact + "/" + kFirstValues;
  try {
    const SafetensorsFile file(path);
    for (const TensorView& tensor : adapter) {
      const auto entry = file.entries().find(tensor.name);
      if (entry == file.entries().end() || entry->second.shape != tensor.shape ||
          std::string(entry->second.dtype->name) != "float32") {
        throw artifact_error(path + " has no " + tensor.name + " of shape " + python_list(tensor.shape) +
                             " and type float32");
      }
      file.read(entry->second, tensor.data);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw artifact_error(path + " cannot be read: " + error.what());
  }
}

}  // namespace lowpeak::trainer
