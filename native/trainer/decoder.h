// The artifact's program that generates: tokens go in one after the other, logits of the next come out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/generations.h"
#include "trainer/manifest.h"
#include "trainer/methods.h"
#include "trainer/tensor_view.h"

namespace lowpeak::trainer {

class Decoder {
 public:
  // Throws ArtifactError for an artifact without such a program, saying why it has none, or with one that does not
  // fit the manifest; EnvironmentProblem when there is no room.
  Decoder(const std::string& artifact, const Manifest& manifest, const std::string& work);

  // Aliases of the adapter, by name; zeros until they are written.
  const std::vector<TensorView>& adapter() const { return adapter_; }

  // Takes tokens in after those before -> false when it was interrupted, after which this object is not to be used
  // any more. There is room for them, and each is below the vocabulary.
  bool take(const std::vector<std::int64_t>& tokens, const Interrupted& interrupted);

  // Of the token after the last one taken: `vocabulary` numbers.
  const float* logits() const { return logits_; }

  std::int64_t taken() const { return taken_; }
  std::int64_t room() const { return record_.tokens - taken_; }

 private:
  bool run(std::size_t method, const std::int64_t* tokens, std::int64_t count, const Interrupted& interrupted);

  const GenerateRecord record_;
  const KernelSession session_;
  Methods methods_;
  std::vector<TensorView> adapter_;
  const float* logits_ = nullptr;
  std::int64_t taken_ = 0;
};

// Writes an adapter's values into the tensors: those of a checkpoint of the artifact, or, without one, the first
// values. `tell` is told where not the newest checkpoint is used. Throws ArtifactError for a checkpoint of another
// artifact or a damaged file.
void load_adapter(const std::string& artifact, const Manifest& manifest, const std::optional<std::string>& checkpoint,
                  const std::vector<TensorView>& adapter, const Tell& tell);

}  // namespace lowpeak::trainer
