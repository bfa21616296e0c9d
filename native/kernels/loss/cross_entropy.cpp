#include "kernels/loss/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/elementwise/elementwise_rows.h"
#include "kernels/linear/linear_kernels.h"

namespace lowpeak {
namespace {

// The block of logits takes 2 MB. More tokens at once would save nothing: the products decode weights once a
// block of rows that is smaller.
constexpr int64_t kBlockTokens = 512;
constexpr int64_t kBlockVocabulary = 1024;

constexpr int64_t kCacheLine = 64;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Of the words so far except the label: the greatest logit, and the sum of e^(logit - greatest).
struct RowState {
  double sum;
  float greatest;
  float label_logit;
};

// Sums and maxima in lanes, which compilers turn into vectors; the order is the same everywhere.
constexpr int kLanes = 8;

float greatest_of(const float* values, int64_t count) {
  float greatest[kLanes];
  for (float& lane : greatest) lane = -kInfinity;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) greatest[j] = values[i + j] > greatest[j] ? values[i + j] : greatest[j];
  }
  for (; i < count; ++i) greatest[0] = std::max(greatest[0], values[i]);
  return *std::max_element(greatest, greatest + kLanes);
}

float sum_of(const float* values, int64_t count) {
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) sums[j] += values[i + j];
  }
  for (; i < count; ++i) sums[0] += values[i];
  float sum = 0;
  for (float lane : sums) sum += lane;
  return sum;
}

void scale_row(float* row, int64_t count, float factor) {
  for (int64_t i = 0; i < count; ++i) row[i] *= factor;
}

void tell(const Used& used, const QuantizedMatrix& rows) {
  if (used) used(rows);
}

struct Problem {
  const QuantizedMatrix& head;
  const float* bias;
  int64_t ignore_index;
  float share;  // of one counted row in the mean
  Parallel& parallel;
  Isa isa;
  const Used& used;
  void* product_scratch;
  float* logits;  // [block_tokens, block_vocabulary]
  RowState* rows;
};

// Logits of words first .. first + count to e^(logit - greatest), and the state and the gradient of the row
// with them; the gradient is not yet divided by the sum.
void update_row(const Problem& p, int64_t label, int64_t first, int64_t count, float* logits, RowState& state,
                float* gradient) {
  if (label >= first && label < first + count) {
    state.label_logit = logits[label - first];
    logits[label - first] = -kInfinity;
  }
  const float greatest = std::max(state.greatest, greatest_of(logits, count));
  if (greatest == -kInfinity) {  // no word but the label
    std::fill(logits, logits + count, 0.0f);
    return;
  }
  if (greatest > state.greatest && first > 0) {
    const float factor = std::exp(state.greatest - greatest);
    state.sum *= factor;
    scale_row(gradient, p.head.cols, factor);
  }
  state.greatest = greatest;
  for (int64_t i = 0; i < count; ++i) logits[i] -= greatest;
  elementwise_kernels(p.isa).exp(logits, logits, count);
  state.sum += sum_of(logits, count);
}

// Divides by the sum and subtracts the label's row -> the row's share of the loss.
double finish_row(const Problem& p, int64_t label, const RowState& state, float* gradient) {
  const double greatest = std::max(state.greatest, state.label_logit);
  const double others = state.sum == 0 ? 0 : state.sum * std::exp(state.greatest - greatest);
  const double total = others + std::exp(state.label_logit - greatest);
  const double probability_of_others = others / total;
  // p of a word is e^(logit - state.greatest) / state.sum * probability_of_others.
  const double factor = state.sum == 0 ? 0 : probability_of_others / state.sum;
  scale_row(gradient, p.head.cols, static_cast<float>(factor * p.share));
  const float weight = static_cast<float>(probability_of_others * p.share);
  for (int64_t col = 0; col < p.head.cols; col += kNr) {
    float piece[kNr];
    const int64_t cols = std::min<int64_t>(kNr, p.head.cols - col);
    linear_kernels(p.isa).decode(p.head, label, 1, col, cols, piece);
    for (int64_t j = 0; j < cols; ++j) gradient[col + j] -= weight * piece[j];
  }
  tell(p.used, slice_rows(p.head, label, 1));
  return (greatest + std::log(total) - state.label_logit) * p.share;
}

// Loss and gradient of up to block_tokens rows.
double token_block(const Problem& p, ConstMatrix hidden, const int64_t* labels, Matrix gradient) {
  std::fill(p.rows, p.rows + hidden.rows, RowState{0, -kInfinity, 0});
  for (int64_t first = 0; first < p.head.rows; first += kBlockVocabulary) {
    const int64_t count = std::min(kBlockVocabulary, p.head.rows - first);
    const QuantizedMatrix words = slice_rows(p.head, first, count);
    const Matrix logits = {p.logits, hidden.rows, count, count};
    linear_forward(hidden, words, p.bias ? p.bias + first : nullptr, logits, Write::replace, p.parallel,
                   p.product_scratch, p.isa);
    p.parallel.run(hidden.rows, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        update_row(p, labels[row], first, count, p.logits + row * count, p.rows[row],
                   gradient.data + row * gradient.stride);
      }
    });
    linear_input_gradient({p.logits, hidden.rows, count, count}, words, gradient,
                          first == 0 ? Write::replace : Write::accumulate, p.parallel, p.product_scratch, p.isa);
    tell(p.used, words);
  }
  // Losses take the place of sums, so that they are added in one order.
  p.parallel.run(hidden.rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = gradient.data + row * gradient.stride;
      if (labels[row] == p.ignore_index) {
        std::fill(out, out + p.head.cols, 0.0f);
        p.rows[row].sum = 0;
      } else {
        p.rows[row].sum = finish_row(p, labels[row], p.rows[row], out);
      }
    }
  });
  double loss = 0;
  for (int64_t row = 0; row < hidden.rows; ++row) loss += p.rows[row].sum;
  return loss;
}

}  // namespace

int64_t linear_cross_entropy_scratch_bytes(int workers) {
  return kCacheLine + kBlockTokens * kBlockVocabulary * static_cast<int64_t>(sizeof(float)) +
         kBlockTokens * static_cast<int64_t>(sizeof(RowState)) + matmul_scratch_bytes(workers);
}

void linear_cross_entropy(ConstMatrix hidden, const QuantizedMatrix& head, const float* bias, const int64_t* labels,
                          int64_t ignore_index, float* loss, Matrix hidden_gradient, Parallel& parallel, void* scratch,
                          Isa isa, const Used& used) {
  const uintptr_t start = (reinterpret_cast<uintptr_t>(scratch) + kCacheLine - 1) / kCacheLine * kCacheLine;
  float* logits = reinterpret_cast<float*>(start);
  RowState* rows = reinterpret_cast<RowState*>(logits + kBlockTokens * kBlockVocabulary);
  const int64_t counted = hidden.rows - std::count(labels, labels + hidden.rows, ignore_index);
  const float share = counted == 0 ? 0.0f : 1.0f / static_cast<float>(counted);
  const Problem problem = {head, bias, ignore_index, share, parallel, isa, used, rows + kBlockTokens, logits, rows};
  double sum = 0;
  for (int64_t row = 0; row < hidden.rows;) {
    float* gradient = hidden_gradient.data + row * hidden_gradient.stride;
    if (labels[row] == ignore_index) {  // whole prompts are ignored: a block begins after them
      std::fill(gradient, gradient + head.cols, 0.0f);
      ++row;
      continue;
    }
    const int64_t count = std::min(kBlockTokens, hidden.rows - row);
    sum += token_block(problem, {hidden.data + row * hidden.stride, count, hidden.cols, hidden.stride}, labels + row,
                       {gradient, count, head.cols, hidden_gradient.stride});
    row += count;
  }
  *loss = static_cast<float>(sum);
}

}  // namespace lowpeak
