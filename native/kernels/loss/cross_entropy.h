// Mean cross-entropy of a quantized output head, and its gradient, without ever holding the logits.
#pragma once

#include <cstdint>

#include "kernels/linear/linear.h"
#include "kernels/linear/used.h"

namespace lowpeak {

// Bytes of scratch, whatever the shapes.
int64_t linear_cross_entropy_scratch_bytes(int workers);

// *loss = mean over counted rows of logsumexp(logits) - logits[label], logits = hidden @ head^T + bias, and
// hidden_gradient [tokens, width] = d loss / d hidden. head [vocabulary, width], bias [vocabulary] or null.
// Rows whose label is ignore_index are not counted; without any counted row the loss is 0.
//
// Exact, by one pass over the vocabulary. The gradient of a row is a softmax-weighted mean of the head's
// rows, so the online softmax of flash attention serves, with the head as keys and as values; the label's own
// row is left out of the mean and subtracted last, weighted by the probability of all others, which nothing
// cancels. Of the head, a block of words is read at a time, and single rows of labels.
void linear_cross_entropy(ConstMatrix hidden, const QuantizedMatrix& head, const float* bias, const int64_t* labels,
                          int64_t ignore_index, float* loss, Matrix hidden_gradient, Parallel& parallel, void* scratch,
                          Isa isa = best_isa(), const Used& used = {});

}  // namespace lowpeak
