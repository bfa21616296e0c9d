// The programs of an artifact's buckets, of which one is loaded at a time: memory is that of its plan.
#pragma once

#include <optional>
#include <string>

#include "trainer/files.h"
#include "trainer/manifest.h"
#include "trainer/program.h"

namespace lowpeak::trainer {

class Programs {
 public:
  // Loads the first bucket's. `work`: a folder for temporary files. Throws ArtifactError.
  Programs(const std::string& artifact, const Manifest& manifest, std::size_t first, const std::string& work,
           const KernelSession& session);

  // The loaded one.
  Program& current() { return *program_; }
  const Program& current() const { return *program_; }

  // Loads the bucket's in place of the current one; the adapter is taken over. Throws ArtifactError,
  // EnvironmentProblem.
  Program& use(std::size_t bucket);

 private:
  void load(std::size_t bucket);

  const std::string artifact_, work_;
  const Manifest& manifest_;
  const KernelSession& session_;
  std::size_t bucket_;
  std::optional<Program> program_;
  Mapping adapter_;  // between two programs, in a file
};

}  // namespace lowpeak::trainer
