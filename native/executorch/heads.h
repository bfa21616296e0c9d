// Where the rows of a tensor with heads lie: [batch, heads, tokens, dim], or [batch, tokens, heads, dim] if heads_axis
// is 2.
#pragma once

#include <cstdint>

#include "kernels/tensors.h"

namespace lowpeak {

class HeadsLayout {
 public:
  HeadsLayout(int64_t heads, int64_t tokens, int64_t dim, int64_t heads_axis)
      : sequence_(heads * tokens * dim),
        token_stride_(heads_axis == 1 ? dim : heads * dim),
        head_stride_(heads_axis == 1 ? tokens * dim : dim) {}

  // Of one sequence of the batch.
  template <class Float>
  Heads<Float> of(Float* tensor, int64_t sequence) const {
    return {tensor + sequence * sequence_, token_stride_, head_stride_};
  }

 private:
  int64_t sequence_, token_stride_, head_stride_;
};

}  // namespace lowpeak
