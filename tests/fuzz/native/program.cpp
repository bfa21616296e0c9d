// program.pte: checked, loaded by ExecuTorch, and one step of it run on zeros.
#include "trainer/program.h"

#include <filesystem>
#include <fstream>

#include "input.h"
#include "trainer/bundle.h"

using namespace lowpeak::trainer;

namespace {

// A folder with the program beside the artifact's weights.
class Artifact {
 public:
  Artifact() : manifest(read_manifest(lowpeak::fuzz::folder() + "/artifact", std::nullopt)) {
    start_runtime();
    on_fatal([](const Error& error) { throw error; });
    char name[] = "/tmp/lowpeak-fuzz-program-XXXXXX";
    path = ::mkdtemp(name);
    std::filesystem::copy(lowpeak::fuzz::folder() + "/artifact/" + manifest.weights_file, path);
    for (const TensorRecord& input : manifest.buckets[0].inputs) {
      zeros.emplace_back(input.elements() * dtype_named(input.dtype)->bytes + 64);
    }
  }

  const Manifest manifest;
  std::string path;
  std::vector<std::vector<std::uint8_t>> zeros;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Artifact artifact;
  return lowpeak::fuzz::refused_or_read([&] {
    const Bucket& bucket = artifact.manifest.buckets[0];
    std::ofstream(artifact.path + "/" + bucket.file(Program::kFile), std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    const KernelSession session;
    Program program(artifact.path, artifact.manifest, bucket, artifact.path, session);
    std::vector<const void*> inputs;
    for (const auto& each : artifact.zeros) inputs.push_back(each.data());
    program.step(inputs, [] { return false; });
  });
}
