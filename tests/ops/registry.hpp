// SPDX-License-Identifier: Apache-2.0
/// \file registry.hpp
/// Every op once, with the shapes that its gradients are checked on.
///
/// An entry is named as the struct in namespace ops; a scalar function stands in angle brackets: "Unary<Silu>". Its
/// gradients are
/// compared with central differences in double, for every differentiable operand at once, and must not depend on which
/// operands
/// want one: an op keeps less for a backward pass that needs less.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/ops/attention.hpp"
#include "veneer/ops/cross_entropy.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/gain.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/orthogonality.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/put.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/ops/rms_norm.hpp"
#include "veneer/ops/rope.hpp"
#include "veneer/ops/softmax.hpp"

#include "support/values.hpp"

namespace veneer::testing {

/// How far gradients are from differences, and whether those of some operands alone are bit for bit those of all
/// together.
struct Outcome {
  double error = 0.0;
  bool independent = true;
};

/// The gradients of f for the operands whose bit is set in `mask`; empty for the others.
template <class F, TensorLike... Xs>
std::vector<std::vector<double>> gradients(const F& f, unsigned mask, const Xs&... xs) {
  Tape tape;
  const auto run = [&]<std::size_t... I>(std::index_sequence<I...>) {
    const auto operands = std::tuple{((mask >> I) % 2 == 1 ? tape.variable(xs) : tape.input(xs))...};
    backward(std::apply([&](const auto&... x) { return f(tape, x...); }, operands));
    return std::vector<std::vector<double>>{std::get<I>(operands).gradient() ? to_host(std::get<I>(operands).gradient())
                                                                             : std::vector<double>()...};
  };
  return run(std::index_sequence_for<Xs...>{});
}

template <class F, TensorLike... Xs>
Outcome examine(const F& f, const Xs&... xs) {
  Outcome outcome{gradient_error(f, xs...)};
  constexpr unsigned all = (1u << sizeof...(Xs)) - 1;
  const auto expected = gradients(f, all, xs...);
  for (unsigned mask = 1; mask <= all; ++mask) {
    const auto found = gradients(f, mask, xs...);
    for (std::size_t i = 0; i < sizeof...(Xs); ++i) {
      outcome.independent &= found[i] == ((mask >> i) % 2 == 1 ? expected[i] : std::vector<double>());
    }
  }
  return outcome;
}

/// An op on operands of one shape, filled from a seed.
struct OpCase {
  std::string op;
  std::string shape;
  std::function<Outcome(std::uint64_t seed)> check;
};

/// Away from 0, where relu has a kink: a hundred steps of a difference at least.
template <TensorLike X>
X away_from_zero(const X& x) {
  std::vector<double> values = to_host(x);
  for (double& value : values) value += value < 0 ? -0.01 : 0.01;
  return from_host(x.shape(), values, x.device());
}

template <Backend B>
class Registry {
 public:
  using T = double;

  static std::vector<OpCase> all() {
    Registry registry;
    registry.pointwise();
    registry.products();
    registry.rows();
    registry.losses();
    registry.picks();
    registry.puts();
    registry.attentions();
    return std::move(registry.cases_);
  }

 private:
  static auto matrix(index_t rows, index_t columns, std::uint64_t seed) {
    return random_matrix<T, B>(rows, columns, seed);
  }

  /// inner(y, c) for fixed random c: a loss in which every element of y has a slope of its own.
  static auto weighed(const auto& y) {
    return inner(y, random<T, B>(dynamic_shape<std::remove_cvref_t<decltype(y)>::shape_type::rank>(y.shape()), 999));
  }

  void enter(const char* op, std::string shape, std::function<Outcome(std::uint64_t)> check) {
    cases_.push_back({op, std::move(shape), std::move(check)});
  }

  static std::string text(std::convertible_to<index_t> auto... extents) {
    std::string out;
    ((out += (out.empty() ? "" : " x ") + std::to_string(extents)), ...);
    return out;
  }

  template <class F>
  void unary(const char* op, const F& f) {
    for (const auto& [rows, columns] : matrix_shapes()) {
      enter(op, text(rows, columns), [f, rows = rows, columns = columns](std::uint64_t seed) {
        return examine([&](Tape&, const auto& x) { return weighed(f(x)); },
                       away_from_zero(matrix(rows, columns, seed)));
      });
    }
  }

  template <class F>
  void binary(const char* op, const F& f) {
    for (const auto& [rows, columns] : matrix_shapes()) {
      enter(op, text(rows, columns), [f, rows = rows, columns = columns](std::uint64_t seed) {
        return examine([&](Tape&, const auto& x, const auto& y) { return weighed(f(x, y)); },
                       matrix(rows, columns, seed), matrix(rows, columns, seed + 100));
      });
    }
  }

  static std::vector<std::pair<index_t, index_t>> matrix_shapes() {
    return {{1, 1}, {4, 5}, {1, 19}, {17, 1}, {0, 3}, {3, 0}};
  }
  static std::vector<std::pair<index_t, index_t>> filled_shapes() {  // of ops that need a column
    return {{1, 1}, {4, 5}, {3, 19}, {17, 2}, {0, 3}};
  }

  void pointwise() {
    unary("Unary<Silu>", [](const auto& x) { return silu(x); });
    unary("Unary<Relu>", [](const auto& x) { return relu(x); });
    unary("Scale", [](const auto& x) { return scale(x, -1.75); });
    unary("Dropout", [](const auto& x) { return dropout(x, 0.4); });
    binary("Add", [](const auto& x, const auto& y) { return add(x, y); });
    binary("Binary<Multiply>", [](const auto& x, const auto& y) { return multiply(x, y); });
    for (const auto& [rows, columns] : matrix_shapes()) {
      enter("Binary<Divide>", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        const auto below = full<T>(Shape<dyn, dyn>(rows, columns), 1.5, B{});
        return examine(
            [&](Tape&, const auto& x, const auto& y) { return weighed(divide(x, add(multiply(y, y), below))); },
            matrix(rows, columns, seed), matrix(rows, columns, seed + 100));
      });
      enter("Gain", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& g) { return weighed(gain(x, g)); },
                       matrix(rows, columns, seed), random_vector<T, B>(columns, seed + 100));
      });
      enter("Gain", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& g) { return weighed(gain_rows(x, g)); },
                       matrix(rows, columns, seed), matrix(rows, 1, seed + 100));
      });
    }
    binary("Binary<SwiGlu>", [](const auto& x, const auto& y) { return swiglu(x, y); });
    binary("Binary<GeGlu>", [](const auto& x, const auto& y) { return geglu(x, y); });
    for (const auto& [rows, columns] : filled_shapes()) {
      enter("AddRow", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& b) { return weighed(add_row(x, b)); },
                       matrix(rows, columns, seed), random_vector<T, B>(columns, seed + 100));
      });
    }
  }

  struct Product {
    index_t tokens, in, out, rank;
  };
  void products() {
    for (const Product& p : {Product{1, 1, 1, 1}, Product{4, 3, 5, 2}, Product{7, 18, 2, 5}, Product{2, 1, 6, 3},
                             Product{0, 3, 2, 1}, Product{3, 2, 4, 6}}) {
      enter("Linear", text(p.tokens, p.in, p.out), [p](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& w) { return weighed(linear(x, w)); },
                       matrix(p.tokens, p.in, seed), matrix(p.out, p.in, seed + 100));
      });
      enter("LowRankLinear", text(p.tokens, p.in, p.out, p.rank), [p](std::uint64_t seed) {
        const auto f = [](Tape&, const auto& x, const auto& w, const auto& a, const auto& b) {
          return weighed(low_rank_linear(x, w, a, b, 0.7));
        };
        return examine(f, matrix(p.tokens, p.in, seed), matrix(p.out, p.in, seed + 100),
                       matrix(p.rank, p.in, seed + 200), matrix(p.out, p.rank, seed + 300));
      });
    }
  }

  void rows() {
    unary("Softmax", [](const auto& x) { return softmax(x); });
    for (const auto& [rows, columns] : filled_shapes()) {
      enter("RmsNorm", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& w) { return weighed(rms_norm(x, w, 0.1)); },
                       matrix(rows, columns, seed), random_vector<T, B>(columns, seed + 100));
      });
      enter("RmsNorm", text(rows, 3, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x, const auto& w) { return weighed(grouped_rms_norm(x, w, 0.1, 1.0)); },
                       matrix(rows, 3 * columns, seed), random_vector<T, B>(columns, seed + 100));
      });
    }
    for (const auto& [tokens, heads, half] :
         {std::tuple<index_t, index_t, index_t>{1, 1, 1}, {5, 3, 2}, {2, 1, 9}, {0, 2, 2}}) {
      enter("Rope", text(tokens, heads, 2 * half), [tokens = tokens, heads = heads, half = half](std::uint64_t seed) {
        const auto cosines = matrix(tokens, half, seed + 100), sines = matrix(tokens, half, seed + 200);
        return examine([&](Tape&, const auto& x) { return weighed(rope(x, cosines, sines)); },
                       matrix(tokens, heads * 2 * half, seed));
      });
      enter("Rope", text(tokens, heads, 2 * half, 3),
            [tokens = tokens, heads = heads, half = half](std::uint64_t seed) {
              const index_t width = 2 * half + 3;  // three features of a head do not turn
              const auto cosines = matrix(tokens, half, seed + 100), sines = matrix(tokens, half, seed + 200);
              return examine([&](Tape&, const auto& x) { return weighed(rope(x, cosines, sines, width)); },
                             matrix(tokens, heads * width, seed));
            });
    }
  }

  void losses() {
    for (const auto& [rows, columns] : std::vector<std::pair<index_t, index_t>>{{1, 1}, {4, 5}, {5, 3}, {2, 19}}) {
      enter("Orthogonality", text(rows, columns), [rows = rows, columns = columns](std::uint64_t seed) {
        return examine([](Tape&, const auto& x) { return add(row_orthogonality(x), column_orthogonality(x)); },
                       matrix(rows, columns, seed));
      });
    }
    binary("Inner", [](const auto& x, const auto& y) { return inner(x, y); });
    binary("MeanSquaredError", [](const auto& x, const auto& y) { return mean_squared_error(x, y); });
    struct Labelled {
      index_t classes;
      std::vector<std::int32_t> labels;
    };
    for (const Labelled& l :
         {Labelled{1, {0}}, Labelled{5, {1, -100, 4, 0}}, Labelled{3, {-100, -100}}, Labelled{20, {19}},
          Labelled{4, {}}, Labelled{2, {1, 0, 1, 1, 0, -100, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1}}}) {
      const index_t rows = static_cast<index_t>(l.labels.size());
      enter("CrossEntropy", text(rows, l.classes), [l, rows](std::uint64_t seed) {
        const auto labels = vector_of<B>(l.labels);
        const auto f = [&](Tape&, const auto& x) {
          return add(cross_entropy(x, labels), cross_entropy_sum(x, labels, 0.3));
        };
        return examine(f, matrix(rows, l.classes, seed));
      });
    }
  }

  void picks() {
    struct Picked {
      index_t extent, other;  // picked from, and along
      std::vector<std::int32_t> ids;
    };
    for (const Picked& p :
         {Picked{1, 1, {0}}, Picked{3, 5, {1, 2, 1, 1}}, Picked{4, 17, {3, 0}}, Picked{2, 33, {1}}, Picked{3, 2, {}}}) {
      const index_t count = static_cast<index_t>(p.ids.size());
      enter("GatherRows", text(count, p.extent, p.other), [p](std::uint64_t seed) {
        const auto ids = vector_of<B>(p.ids);
        return examine([&](Tape&, const auto& x) { return weighed(gather_rows(x, ids)); },
                       matrix(p.extent, p.other, seed));
      });
      enter("GatherColumns", text(count, p.other, p.extent), [p](std::uint64_t seed) {
        const auto ids = vector_of<B>(p.ids);
        return examine([&](Tape&, const auto& x) { return weighed(gather_columns(x, ids)); },
                       matrix(p.other, p.extent, seed));
      });
    }
    for (const auto& [begin, end] : std::vector<std::pair<index_t, index_t>>{{0, 5}, {1, 4}, {4, 5}, {2, 2}}) {
      enter("ColumnRange", text(begin, end), [begin = begin, end = end](std::uint64_t seed) {
        return examine([&](Tape&, const auto& x) { return weighed(column_range(x, begin, end)); }, matrix(3, 5, seed));
      });
    }
  }

  void puts() {
    struct Put {
      index_t rows, columns;
      std::vector<std::int32_t> at;
    };
    for (const Put& p : {Put{1, 1, {0}}, Put{3, 17, {2, 0}}, Put{4, 3, {1, 3, 0}}, Put{2, 5, {}}}) {
      const index_t count = static_cast<index_t>(p.at.size());
      enter("PutRows", text(p.rows, p.columns, count), [p, count](std::uint64_t seed) {
        const auto at = vector_of<B>(p.at);
        return examine([&](Tape&, const auto& x, const auto& rows) { return weighed(put_rows(x, rows, at)); },
                       matrix(p.rows, p.columns, seed), matrix(count, p.columns, seed + 1));
      });
      enter("PutColumns", text(p.columns, p.rows, count), [p, count](std::uint64_t seed) {
        const auto at = vector_of<B>(p.at);
        return examine([&](Tape&, const auto& x, const auto& part) { return weighed(put_columns(x, part, at)); },
                       matrix(p.columns, p.rows, seed), matrix(p.columns, count, seed + 1));
      });
    }
  }

  struct Attended {
    const char* what;
    index_t heads, kv_heads, width, window;
    std::vector<Span> spans;
    std::optional<double> scale = {};
  };
  void attentions() {
    const std::vector<Span> packed{{0, 3, 0, 3, 3}, {3, 1, 3, 1, 1}, {4, 4, 4, 4, 4}};
    const std::vector<Attended> attended{
        {"one token", 1, 1, 1, 0, {{0, 1, 0, 1, 1}}},
        {"packed", 2, 2, 2, 0, packed},
        {"packed, grouped heads, window 2", 4, 2, 2, 2, packed},
        {"padded at the end", 2, 1, 2, 0, {{0, 5, 0, 5, 3}, {5, 4, 5, 4, 4}}},
        {"a sequence of padding", 2, 1, 2, 0, {{0, 3, 0, 3, 0}, {3, 2, 3, 2, 2}}},
        {"rows that see nothing beside rows that see", 2, 2, 1, 2, {{0, 6, 0, 6, 2}}},
        {"fewer queries than keys", 2, 1, 2, 3, {{0, 2, 0, 5, 5}, {2, 3, 5, 4, 4}}},
        {"more than a block of queries", 2, 1, 1, 0, {{0, 67, 0, 67, 67}}},
        {"blocks with a window, one of them blind", 1, 1, 1, 5, {{0, 131, 0, 131, 60}}},
        {"a scale of its own", 2, 1, 2, 2, packed, 1.75},
        {"nothing", 2, 1, 2, 0, {}},
    };
    for (const Attended& a : attended) {
      enter("Attention", a.what, [a](std::uint64_t seed) {
        const auto layout = std::make_shared<AttentionLayout>();
        layout->spans = a.spans;
        index_t queries = 0, keys = 0;
        for (const Span& span : a.spans) queries += span.queries, keys += span.keys;
        const auto f = [&](Tape&, const auto& q, const auto& k, const auto& v) {
          return weighed(attention(q, k, v, layout, a.heads, a.kv_heads, a.window, a.scale));
        };
        return examine(f, matrix(queries, a.heads * a.width, seed), matrix(keys, a.kv_heads * a.width, seed + 100),
                       matrix(keys, a.kv_heads * a.width, seed + 200));
      });
    }
  }

  std::vector<OpCase> cases_;
};

}  // namespace veneer::testing
