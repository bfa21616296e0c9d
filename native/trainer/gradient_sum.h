// Gradients of several batches for one update, in a mapped file.
#pragma once

#include <string>
#include <vector>

#include "trainer/files.h"
#include "trainer/tensor_view.h"
#include "trainer/touched.h"

namespace lowpeak::trainer {

class GradientSum {
 public:
  // `batches`: whose gradients make one update; for one there is no file. Throws EnvironmentProblem.
  GradientSum(const std::vector<TensorView>& gradients, std::int64_t batches, const std::string& folder);

  // Takes in a batch's gradients, which may lie elsewhere each time; those of the last become the mean of all, in which
  // each counts by its weight.
  void add(const std::vector<TensorView>& gradients, std::int64_t weight, const Touched& touched);

 private:
  std::int64_t batches_, added_ = 0, weights_ = 0;
  Mapping mapping_;
};

}  // namespace lowpeak::trainer
