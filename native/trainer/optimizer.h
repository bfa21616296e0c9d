// The optimizer of a run: its state in a mapped file, of which only the part in use is resident.
#pragma once

#include <string>
#include <vector>

#include "trainer/files.h"
#include "trainer/optimizer_options.h"
#include "trainer/tensor_view.h"
#include "trainer/touched.h"

namespace lowpeak::trainer {

class Optimizer {
 public:
  // Makes state for the parameters. The file lies in `folder` without a name, so nothing is left of it whatever
  // happens. Throws EnvironmentProblem when the disk has no room.
  Optimizer(const std::vector<TensorView>& parameters, const OptimizerOptions& options, std::int64_t total_steps,
            const std::string& folder);

  // Applies the gradients, scaled in place when it clips; `step` is the number of updates before. The tensors may
  // lie elsewhere each time. Throws DataError, and nothing is changed, when a gradient is not finite; and when the
  // update makes a tensor infinite or NaN, which must not come into a checkpoint then.
  void update(std::int64_t step, const std::vector<TensorView>& parameters, const std::vector<TensorView>& gradients,
              const Touched& touched);

  // What a checkpoint has to keep beside the parameters, by torch.optim's names; written in place to restore it.
  const std::vector<TensorView>& state() const { return state_; }

  // Takes the state's pages out of this process.
  void release() const { mapping_.release(); }

 private:
  const std::string& state_name(std::size_t parameter, std::size_t part) const;

  std::vector<TensorView> state_;
  OptimizerOptions options_;
  std::int64_t total_steps_;
  std::size_t state_tensors_ = 0;  // of a parameter, as large as it
  std::vector<float> counters_;    // updates that a parameter has had, for adamw
  Mapping mapping_;
};

}  // namespace lowpeak::trainer
