#include "trainer/program.h"

#include "trainer/batch_ids.h"

namespace lowpeak::trainer {
namespace {

constexpr char kMethod[] = "forward";
constexpr std::int64_t kPlacement = 1 << 16;  // of each tensor in a file at most, that it begins with a page

// One loss, then gradients and parameters.
MethodRecord record_of(const Manifest& manifest, const Bucket& bucket) {
  std::int64_t bytes = 0;
  for (const TensorRecord& each : manifest.parameters) {
    bytes += static_cast<std::int64_t>(each.elements() * sizeof(float)) + kPlacement;
  }
  return {kMethod, bucket.inputs, 1 + 2 * manifest.parameters.size(), bucket.plan.arena_bytes, 2 * bytes};
}

}  // namespace

Program::Program(const std::string& artifact, const Manifest& manifest, const Bucket& bucket, const std::string& work,
                 const KernelSession& session)
    : bucket_(bucket),
      methods_(artifact + "/" + bucket.file(kFile), artifact + "/" + manifest.weights_file, manifest,
               {record_of(manifest, bucket)}, Methods::State::file, work, session) {
  const std::size_t count = manifest.parameters.size();
  loss_ = methods_.output(0, 0, {"the loss", {}, "float32"}).data;
  for (std::size_t i = 0; i < count; ++i) {
    gradients_.push_back(methods_.output(0, 1 + i, manifest.parameters[i]));
    parameters_.push_back(methods_.output(0, 1 + count + i, manifest.parameters[i]));
  }
}

void Program::release() const { methods_.release(); }

std::optional<float> Program::step(const std::vector<const void*>& inputs, const Interrupted& interrupted) {
  require_ids(bucket_, inputs);
  if (!methods_.run(0, inputs, interrupted)) return std::nullopt;
  return *loss_;
}

}  // namespace lowpeak::trainer
