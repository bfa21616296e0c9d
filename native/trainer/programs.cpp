#include "trainer/programs.h"

#include <cstring>

#include "trainer/error.h"
#include "trainer/scratch_file.h"

namespace lowpeak::trainer {
namespace {

std::size_t bytes_of(const std::vector<TensorView>& tensors) {
  std::size_t bytes = 0;
  for (const TensorView& tensor : tensors) bytes += tensor.count * sizeof(float);
  return bytes;
}

}  // namespace

Programs::Programs(const std::string& artifact, const Manifest& manifest, std::size_t first, const std::string& work,
                   const KernelSession& session)
    : artifact_(artifact), work_(work), manifest_(manifest), session_(session), bucket_(first) {
  for (const Bucket& bucket : manifest.buckets) {
    if (manifest.files.count(bucket.file(Program::kFile)) == 0) {
      throw artifact_error("the artifact " + artifact + " has no " + bucket.file(Program::kFile) +
                           "; it was compiled for " + manifest.target);
    }
  }
  load(first);
}

void Programs::load(std::size_t bucket) {
  program_.emplace(artifact_, manifest_, manifest_.buckets[bucket], work_, session_);
  bucket_ = bucket;
}

Program& Programs::use(std::size_t bucket) {
  if (bucket == bucket_) return *program_;
  const std::size_t bytes = bytes_of(program_->parameters());
  if (adapter_.size() == 0) adapter_ = scratch_file(work_, bytes, "the adapter");
  // Page by page out of this process: beside an arena there is no room for a second adapter.
  std::uint8_t* place = adapter_.data();
  for (const TensorView& parameter : program_->parameters()) {
    std::memcpy(place, parameter.data, parameter.count * sizeof(float));
    place += parameter.count * sizeof(float);
    adapter_.release();
    program_->release();
  }
  program_.reset();
  load(bucket);
  place = adapter_.data();
  for (const TensorView& parameter : program_->parameters()) {
    std::memcpy(parameter.data, place, parameter.count * sizeof(float));
    place += parameter.count * sizeof(float);
    adapter_.release();
    program_->release();
  }
  return *program_;
}

}  // namespace lowpeak::trainer
