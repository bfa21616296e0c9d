// A right call of each lowpeak:: kernel, with which other values of its arguments are as right.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "kernel_values.h"

namespace lowpeak::test {

// The sizes of a call: as they stand there, or as something else decides.
class Sizes {
 public:
  virtual ~Sizes() = default;
  virtual int32_t operator()(int32_t size) { return size; }
  // Of two forms of a call, whether it is the second.
  virtual bool other() { return other_; }
  // One of 0 .. end - 1.
  virtual int64_t below(int64_t end) { return (taken_ += 5) % end; }

  explicit Sizes(bool other = false) : other_(other) {}

 private:
  bool other_;
  int64_t taken_ = 0;
};

constexpr int64_t offload_bytes = 1 << 16;
constexpr int64_t ignored = -100;

namespace calls {

inline Values quantized_parts(Sizes& n, int32_t rows, int32_t groups, int32_t group) {
  const int32_t bits = n.other() ? 8 : 4, cols = groups * group;
  return {
      tensor(bits == 4 ? ScalarType::Byte : ScalarType::Char, {rows, cols * bits / 8}),
      tensor(n.other() ? ScalarType::Float : ScalarType::Half, {rows, groups})
          .or_type(ScalarType::Float)
          .or_type(ScalarType::Half),
      floats({rows, groups}).or_none(),
      integer(bits),
  };
}

struct Matrix {
  int32_t rows, cols;
  Values parts;

  explicit Matrix(Sizes& n) {
    const int32_t groups = n(3), group = n.other() ? 2 * n(16) : 32 * n(1);
    rows = n(7);
    cols = groups * group;
    parts = quantized_parts(n, rows, groups, group);
  }
};

inline Values operator+(Values first, const Values& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

inline std::vector<int64_t> chosen(Sizes& n, int64_t count, int64_t rows) {
  std::vector<int64_t> result(static_cast<size_t>(count));
  for (int64_t& id : result) id = n.below(rows);
  return result;
}

struct Attention {
  int32_t batch, heads, key_heads, queries, keys, dim, axis;
  int64_t start;

  explicit Attention(Sizes& n) {
    batch = n(2), key_heads = n(2), heads = key_heads * n(3), queries = n(4), dim = n(5), axis = n.other() ? 2 : 1;
    keys = queries + n(3);
    start = n.below(keys - queries + 1);
  }
  Value of(int32_t heads_, int32_t tokens) const {
    return axis == 1 ? floats({batch, heads_, tokens, dim}) : floats({batch, tokens, heads_, dim});
  }
  Value query() const { return of(heads, queries); }
  Value key() const { return of(key_heads, keys); }
  Value logsumexp() const { return floats({batch, heads, queries}); }
  Value begin() const {
    const int64_t last = keys - queries;
    return integer(start).where([last](int64_t other) { return other >= 0 && other <= last; });
  }
};

inline Values causal_attention(Sizes& n) {
  const Attention a(n);
  return {a.query(),       a.key(),   a.key(),        number(0.5).or_any(),
          integer(a.axis), a.begin(), out(a.query()), out(a.logsumexp())};
}

inline Values backward(const Attention& a) {
  return {a.query(),       a.query(), a.key(), a.key(), a.query(), a.logsumexp(), number(0.5).or_any(),
          integer(a.axis), a.begin()};
}

inline Values causal_attention_backward(Sizes& n) {
  const Attention a(n);
  return backward(a) + Values{out(a.query()), out(a.key()), out(a.key())};
}

inline Values causal_attention_backward_add(Sizes& n) {
  const Attention a(n);
  return Values{a.key(), a.key()} + backward(a) + Values{out(a.query()), out(a.key()).at({0}), out(a.key()).at({1})};
}

inline Values cached_attention(Sizes& n) {
  Attention a(n);
  a.batch = 1;
  std::vector<int64_t> positions;
  for (int32_t i = 0; i < a.queries; ++i) positions.push_back(a.start + i);
  const Value rows = a.of(a.key_heads, a.queries), cache = floats({1, a.key_heads, a.keys, a.dim}).changed();
  return {a.query(),       rows,          rows, cache, cache, ids({1, a.queries}, positions), number(0.5).or_any(),
          integer(a.axis), out(a.query())};
}

inline Values rotary(Sizes& n) {
  Attention a(n);
  a.dim *= 2;
  const Value table = floats({1, a.queries, a.dim});
  return {a.query(), table, table, flag(n.other()).or_any(), integer(a.axis), out(a.query()).at({0})};
}

inline Values matmul(Sizes& n) {
  const int32_t count = n(2), rows = n(3), depth = n(4), cols = n(5);
  const bool swap = n.other();
  return {floats({count, swap ? depth : rows, swap ? rows : depth}),
          floats({count, swap ? cols : depth, swap ? depth : cols}),
          flag(swap),
          flag(swap),
          number(0.5).or_any(),
          out(floats({count, rows, cols}))};
}

inline Values matmul_add(Sizes& n) {
  Values product = matmul(n);
  const Value addend = floats(product.back().sizes);
  product.back() = product.back().at({0});
  return Values{addend} + product;
}

inline Values quantized_linear(Sizes& n) {
  const Matrix m(n);
  const int32_t batch = n(1), tokens = n(4);
  return Values{floats({batch, tokens, m.cols})} + m.parts +
         Values{floats({m.rows}).or_none(), out(floats({batch, tokens, m.rows}))};
}

inline Values quantized_linear_input_gradient(Sizes& n) {
  const Matrix m(n);
  const int32_t tokens = n(4);
  return Values{floats({tokens, m.rows})} + m.parts + Values{out(floats({tokens, m.cols}))};
}

inline Values quantized_linear_input_gradient_add(Sizes& n) {
  const Matrix m(n);
  const int32_t tokens = n(4);
  return Values{floats({tokens, m.cols}), floats({tokens, m.rows})} + m.parts +
         Values{out(floats({tokens, m.cols})).at({0})};
}

inline Values dequantize_rows(Sizes& n) {
  const Matrix m(n);
  const int32_t batch = n(2), tokens = n(3);
  const Value rows =
      ids({batch, tokens}, chosen(n, batch * tokens, m.rows)).where([m](int64_t id) { return id >= 0 && id < m.rows; });
  return m.parts + Values{rows, out(floats({batch, tokens, m.cols}))};
}

inline Values quantized_linear_cross_entropy(Sizes& n) {
  const Matrix m(n);
  const int32_t tokens = n(4);
  std::vector<int64_t> labels = chosen(n, tokens, m.rows);
  if (n.other()) labels[0] = ignored;
  const Value given =
      ids({tokens}, labels).where([m](int64_t id) { return id == ignored || (id >= 0 && id < m.rows); });
  // Another number to ignore is as right where none is ignored.
  const bool free = !n.other();
  return Values{floats({tokens, m.cols})} + m.parts +
         Values{floats({m.rows}).or_none(), given, integer(ignored).where([free](int64_t) { return free; }),
                out(floats({})), out(floats({tokens, m.cols}))};
}

inline Values rms_norm(Sizes& n) {
  const int32_t batch = n(2), tokens = n(3), width = n(5);
  const Value x = floats({batch, tokens, width});
  return {x, floats({width}), number(1e-5).or_any_amount(), out(x).at({0}), out(floats({batch, tokens, 1}))};
}

inline Values rms_norm_backward(Sizes& n) {
  const int32_t batch = n(2), tokens = n(3), width = n(5);
  const Value x = floats({batch, tokens, width});
  return {x, x, floats({width}), floats({batch, tokens, 1}), x.or_none(), out(x).at({0, 1, 4})};
}

inline Values swiglu(Sizes& n) {
  const Value x = floats({n(2), n(3), n(5)});
  return {x, x, out(x).at({0, 1})};
}

inline Values swiglu_backward(Sizes& n) {
  const Value x = floats({n(2), n(3), n(5)});
  return {x, x, x, out(x).at({0, 1, 2}), out(x).at({0, 1, 2})};
}

inline Values select_rows(Sizes& n) {
  const int32_t rows = n(6), width = n(5), count = n(3);
  const ScalarType type = n.other() ? ScalarType::Half : ScalarType::Float;
  const Value chosen_ids =
      ids({count}, chosen(n, count, rows)).where([rows](int64_t id) { return id >= 0 && id < rows; });
  const int64_t highest = *std::max_element(chosen_ids.elements.begin(), chosen_ids.elements.end());
  const Value source =
      tensor(type, {rows, width}).sized([highest](size_t axis, int32_t size) { return axis == 0 && size > highest; });
  return {source, chosen_ids, out(tensor(type, {count, width}))};
}

inline Values write_rows(Sizes& n) {
  const int32_t tokens = n(2), rows = tokens + n(3), width = n(5);
  const int64_t start = n.below(rows - tokens + 1);
  const ScalarType type = n.other() ? ScalarType::Byte : ScalarType::Float;
  const Value whole = tensor(type, {1, rows, width});
  return {whole.or_none(),
          tensor(type, {1, tokens, width}).sized([=](size_t axis, int32_t size) {
            return axis == 1 && size > 0 && size <= rows - start;
          }),
          integer(1),
          integer(start).where([=](int64_t other) { return other >= 0 && other <= rows - tokens; }),
          integer(rows),
          out(whole).at({0})};
}

inline Value token() { return tensor(ScalarType::Byte, {0}); }

inline Value offset(Sizes& n) {
  // Values are smaller than a page.
  return integer(4096 * n.below(2)).where([](int64_t other) {
    return other >= 0 && other < offload_bytes && other % 4096 == 0;
  });
}

inline Values store(Sizes& n) {
  return {tensor(n.other() ? ScalarType::Half : ScalarType::Float, {n(3), n(5)}).of_any_type().of_any_sizes(),
          offset(n), out(token())};
}

inline Values load(Sizes& n) {
  const int32_t rows = n(3), width = n(5);
  const ScalarType type = n.other() ? ScalarType::Half : ScalarType::Float;
  return {token(), offset(n), integers({rows, width}), integer(static_cast<int64_t>(type)),
          out(tensor(type, {rows, width})).later()};
}

inline Values loaded(Sizes& n) {
  const Value value = tensor(n.other() ? ScalarType::Half : ScalarType::Float, {n(3), n(5)});
  return {value, out(value).at({0})};
}

inline Values pages(Sizes& n) {
  const Value value = tensor(n.other() ? ScalarType::Half : ScalarType::Float, {n(3), n(5)});
  return {value.of_any_type().of_any_sizes(), value.of_any_type().of_any_sizes()};
}

}  // namespace calls

using Call = std::function<Values(Sizes&)>;

inline const std::map<std::string, Call> right_calls = {
    {"lowpeak::cached_attention.out", calls::cached_attention},
    {"lowpeak::causal_attention.out", calls::causal_attention},
    {"lowpeak::causal_attention_backward.out", calls::causal_attention_backward},
    {"lowpeak::causal_attention_backward_add.out", calls::causal_attention_backward_add},
    {"lowpeak::dequantize_rows.out", calls::dequantize_rows},
    {"lowpeak::give_back", calls::pages},
    {"lowpeak::load.out", calls::load},
    {"lowpeak::loaded.out", calls::loaded},
    {"lowpeak::matmul.out", calls::matmul},
    {"lowpeak::matmul_add.out", calls::matmul_add},
    {"lowpeak::quantized_linear.out", calls::quantized_linear},
    {"lowpeak::quantized_linear_cross_entropy.out", calls::quantized_linear_cross_entropy},
    {"lowpeak::quantized_linear_input_gradient.out", calls::quantized_linear_input_gradient},
    {"lowpeak::quantized_linear_input_gradient_add.out", calls::quantized_linear_input_gradient_add},
    {"lowpeak::read_ahead", calls::pages},
    {"lowpeak::rms_norm.out", calls::rms_norm},
    {"lowpeak::rms_norm_backward.out", calls::rms_norm_backward},
    {"lowpeak::rotary.out", calls::rotary},
    {"lowpeak::select_rows.out", calls::select_rows},
    {"lowpeak::store.out", calls::store},
    {"lowpeak::swiglu.out", calls::swiglu},
    {"lowpeak::swiglu_backward.out", calls::swiglu_backward},
    {"lowpeak::write_rows.out", calls::write_rows},
};

}  // namespace lowpeak::test
