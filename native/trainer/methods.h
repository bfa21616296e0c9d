// The methods of an ExecuTorch program, loaded into one memory: an arena that they use by turns, and what lies
// outside of it if anything does, the state that they share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "trainer/manifest.h"
#include "trainer/operators.h"
#include "trainer/program_check.h"
#include "trainer/runtime.h"
#include "trainer/tensor_view.h"

namespace lowpeak::trainer {

// Asked between the instructions of a step: whether to leave it.
using Interrupted = std::function<bool()>;

class Methods {
 public:
  // Where state lies: in a file, whose pages go when they are not in use, or in memory that stays.
  enum class State { file, memory };

  // Weights are mapped, not locked: the system takes their pages back when it needs room. Files are made in the
  // folder `work`. Methods run in the session, which outlives them. Throws ArtifactError when a file is not as the
  // manifest and `records` have it or the runtime refuses it, EnvironmentProblem when there is no room.
  Methods(const std::string& program_path, const std::string& weights_path, const Manifest& manifest,
          const std::vector<MethodRecord>& records, State state, const std::string& work, const KernelSession& session);
  ~Methods();

  // Where the method puts its output: float32 of the record's shape. Throws ArtifactError for another.
  TensorView output(std::size_t method, std::size_t index, const TensorRecord& record) const;

  // Runs a method on the inputs of its record, whose data it only reads -> false when it was interrupted, after
  // which this object is not to be used any more.
  //
  // `interrupted` is called between its instructions. Throws ArtifactError when the runtime refuses,
  // EnvironmentProblem when values could not be offloaded.
  bool run(std::size_t method, const std::vector<const void*>& inputs, const Interrupted& interrupted);

  // Gives pages of state in a file back to the system; their contents stay.
  void release() const;

  // Starts to read all weights into the page cache.
  void read_weights_ahead() const;

 private:
  struct Loaded;
  struct One;
  std::string program_path_;
  const KernelSession& session_;
  RuntimeLog log_;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace lowpeak::trainer
