// An ExecuTorch program: run a step, see its gradients, change its adapter in place.
//
// The program's outputs are [loss, gradients ..., parameters ...]. They lie where the plan puts them, in the arena or
// in a mapped file, so a pointer to them is the state itself: what an optimizer writes there, the next step reads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/methods.h"
#include "trainer/tensor_view.h"

namespace lowpeak::trainer {

class Program {
 public:
  // The bucket's of the artifact. The weights are mapped, not locked: the system takes their pages back when it needs
  // room. What a program has outside of its arena, adapter and gradients, lies in a file in the folder `work`. Throws
  // ArtifactError when the files do not fit the manifest or the runtime refuses them, EnvironmentProblem when there
  // is no room.
  Program(const std::string& artifact, const Manifest& manifest, const Bucket& bucket, const std::string& work,
          const KernelSession& session);

  static constexpr char kFile[] = "program.pte";

  // Aliases of the program's state, from before the first step on.
  const std::vector<TensorView>& parameters() const { return parameters_; }

  // In the order of the parameters: aliases of what the last step wrote, valid until the next.
  const std::vector<TensorView>& gradients() const { return gradients_; }

  // Forward and backward of one batch, its inputs in the order of the bucket's -> loss; none when it was interrupted,
  // after which there is no further step. Throws DataError for a batch that names rows that there are not,
  // ArtifactError when a kernel fails, EnvironmentProblem when the disk does that values are offloaded to.
  std::optional<float> step(const std::vector<const void*>& inputs, const Interrupted& interrupted);

  // Takes the pages of adapter and gradients that lie in a file out of this process.
  void release() const;

 private:
  const Bucket bucket_;
  Methods methods_;
  std::vector<TensorView> parameters_, gradients_;
  const float* loss_ = nullptr;
};

}  // namespace lowpeak::trainer
