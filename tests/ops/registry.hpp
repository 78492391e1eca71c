// SPDX-License-Identifier: Apache-2.0
/// \file registry.hpp
/// The registry of all ops, with the shapes on which each is checked in every storage type.
///
/// An entry has the name of the struct in namespace ops; a scalar function is in angle brackets: "Unary<Silu>". Its
/// gradients are compared with central differences in double, for every differentiable operand at once, and must not
/// depend on which operands require one: an op keeps less for a backward pass that needs less. In 16-bit storage its
/// result and gradients are compared with those of the same op in float, on the same values.
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
#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/cast.hpp"
#include "veneer/ops/cross_entropy.hpp"
#include "veneer/ops/dropout.hpp"
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

/// The results of a check: the error of gradients relative to differences, whether gradients of some operands alone
/// have the same bits as those of all together (both only in double), and the values: the result, then the gradient
/// of each operand.
struct Outcome {
  double error = 0.0;
  bool independent = true;
  std::vector<std::vector<double>> values;
};

template <TensorLike X>
std::vector<double> widened(const X& x) {
  const auto values = to_host(x);
  return std::vector<double>(values.begin(), values.end());
}

/// Random operands of type T whose values are those of the storage `precision`, exactly: the same in every type
/// that holds them.
template <Backend B, Stored T>
struct Operands {
  using C = compute_t<T>;
  std::uint64_t seed = 1;
  const char* precision = scalar_name<T>();
  bool differences = std::same_as<T, double>;  // whether gradients are compared with those

  template <Stored To = T, ShapeLike S>
  Tensor<To, S, B> random(S shape, std::uint64_t offset = 0, C (*f)(C) = nullptr) const {
    auto x = testing::random<C, B>(shape, seed + offset);
    if (f != nullptr) {
      std::vector<C> values = to_host(x);
      for (C& value : values) value = f(value);
      x = from_host(shape, values, x.device());
    }
    return convert<To>(rounded(x));
  }
  auto matrix(index_t rows, index_t columns, std::uint64_t offset = 0, C (*f)(C) = nullptr) const {
    return random(Shape<dyn, dyn>(rows, columns), offset, f);
  }
  /// A matrix in compute_t, the type of parameters and tables.
  auto plain_matrix(index_t rows, index_t columns, std::uint64_t offset) const {
    return random<C>(Shape<dyn, dyn>(rows, columns), offset);
  }
  auto plain_vector(index_t count, std::uint64_t offset) const { return random<C>(Shape<dyn>(count), offset); }
  auto vector(index_t count, std::uint64_t offset) const { return random(Shape<dyn>(count), offset); }

  template <TensorLike... Xs>
  Outcome examine(const auto& f, const Xs&... xs) const {
    constexpr unsigned all = (1u << sizeof...(Xs)) - 1;
    Outcome outcome;
    outcome.values = values(f, all, xs...);
    if constexpr (std::same_as<T, double>) {
      if (!differences) return outcome;
      using Loss = Variable<double, Shape<1>, B>;  // one instantiation of the check for all ops of these operands
      const std::function<Loss(Tape&, const variable_of<Xs>&...)> loss = [&](Tape&, const variable_of<Xs>&... x) {
        return weighed(f(x...));
      };
      outcome.error = gradient_error(loss, xs...);
      for (unsigned mask = 1; mask <= all; ++mask) {
        const auto found = values(f, mask, xs...);
        for (std::size_t i = 0; i < sizeof...(Xs); ++i) {
          outcome.independent &= found[i + 1] == ((mask >> i) % 2 == 1 ? outcome.values[i + 1] : std::vector<double>());
        }
      }
    }
    return outcome;
  }

 private:
  template <class X>
  using variable_of = Variable<typename X::scalar, typename X::shape_type, B>;

  /// Returns dot(y, c) for random c: a loss in which every element of y has another gradient.
  auto weighed(const auto& y) const {
    using Y = std::remove_cvref_t<decltype(y)>;
    return dot(y, random<typename Y::scalar>(dynamic_shape<Y::shape_type::rank>(y.shape()), 999));
  }

  /// The result of f, then the gradients of the operands whose bit is set in `mask`, empty for the others.
  template <TensorLike... Xs>
  std::vector<std::vector<double>> values(const auto& f, unsigned mask, const Xs&... xs) const {
    Tape tape;
    const auto next = [&mask] { return std::exchange(mask, mask / 2) % 2 == 1; };
    const std::tuple<variable_of<Xs>...> operands{(next() ? tape.variable(xs) : tape.input(xs))...};
    return std::apply([&](const auto&... x) { return values_of(f(x...), x...); }, operands);
  }
  std::vector<std::vector<double>> values_of(const auto& y, const auto&... operands) const {
    backward(weighed(y));
    return {widened(y.value()), (operands.gradient() ? widened(operands.gradient()) : std::vector<double>())...};
  }

  template <ShapeLike S>
  Tensor<C, S, B> rounded(const Tensor<C, S, B>& x) const {
    const std::string name = precision;
    if (name == scalar_name<float>()) return convert<C>(convert<float>(x));
    if constexpr (std::same_as<C, float>) {
      if (name == scalar_name<bfloat16>()) return convert<C>(convert<bfloat16>(x));
      if (name == scalar_name<half>()) return convert<C>(convert<half>(x));
    }
    return x;
  }
};

/// Returns a value away from 0, where relu has a kink: by at least a hundred steps of a difference.
template <Real T>
T away_from_zero(T x) {
  return x + (x < 0 ? T(-0.01) : T(0.01));
}

/// Far from 0, for a divisor.
template <Real T>
T above_one(T x) {
  return T(1.5) + x * x;
}

/// An op on operands of one shape.
template <Backend B, Stored T>
struct OpCase {
  std::string op;
  std::string shape;
  std::function<Outcome(const Operands<B, T>&)> check;
  /// The allowed error of a 16-bit result relative to the rounded one of float. 0: one unit in the last place of each
  /// element. Otherwise: in half units of the largest value of the tensor, if an intermediate result is rounded.
  double result_roundings = 0.0, gradient_roundings = 0.0;
};

template <Backend B, Stored T = double>
class Registry {
 public:
  using Given = Operands<B, T>;

  static std::vector<OpCase<B, T>> all() {
    Registry registry;
    registry.pointwise();
    registry.rows();
    registry.losses();
    registry.picks();
    registry.puts();
    registry.attentions();
    registry.products();
    if constexpr (Real<T>)
      registry.orthogonality();  // of factors, which are float; last: other registries end before it
    return std::move(registry.cases_);
  }

 private:
  void enter(const char* op, std::string shape, std::function<Outcome(const Given&)> check,
             double result_roundings = 0.0, double gradient_roundings = 0.0) {
    cases_.push_back({op, std::move(shape), std::move(check), result_roundings, gradient_roundings});
  }

  static std::string text(std::convertible_to<index_t> auto... extents) {
    std::string out;
    ((out += (out.empty() ? "" : " x ") + std::to_string(extents)), ...);
    return out;
  }

  template <class F>
  void unary(const char* op, const F& f, double gradient_roundings = 0.0) {
    for (const auto& [rows, columns] : matrix_shapes()) {
      const auto check = [f, rows = rows, columns = columns](const Given& given) {
        return given.examine(f, given.matrix(rows, columns, 0, away_from_zero));
      };
      enter(op, text(rows, columns), check, 0.0, gradient_roundings);
    }
  }

  template <class F>
  void binary(const char* op, const F& f, typename Given::C (*of_second)(typename Given::C) = nullptr) {
    for (const auto& [rows, columns] : matrix_shapes()) {
      enter(op, text(rows, columns), [f, of_second, rows = rows, columns = columns](const Given& given) {
        return given.examine(f, given.matrix(rows, columns), given.matrix(rows, columns, 100, of_second));
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
    unary("Cast", [](const auto& x) {
      return apply(ops::Cast<compute_t<typename std::remove_cvref_t<decltype(x)>::scalar>>{}, x);
    });
    unary("Unary<Relu>", [](const auto& x) { return relu(x); });
    unary("Scale", [](const auto& x) { return scale(x, -1.75); });
    unary("Dropout", [](const auto& x) { return dropout(x, 0.4); });
    binary("Add", [](const auto& x, const auto& y) { return add(x, y); });
    binary("Binary<Multiply>", [](const auto& x, const auto& y) { return multiply(x, y); });
    binary(
        "Binary<Divide>", [](const auto& x, const auto& y) { return divide(x, y); }, above_one);
    for (const auto& [rows, columns] : matrix_shapes()) {
      enter("AxisScale", text(rows, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x, const auto& g) { return scale_columns(x, g); },
                             given.matrix(rows, columns), given.plain_vector(columns, 100));
      });
      enter("AxisScale", text(rows, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x, const auto& g) { return scale_rows(x, g); }, given.matrix(rows, columns),
                             given.matrix(rows, 1, 100));
      });
    }
    binary("Binary<SwiGlu>", [](const auto& x, const auto& y) { return swiglu(x, y); });
    binary("Binary<GeGlu>", [](const auto& x, const auto& y) { return geglu(x, y); });
    for (const auto& [rows, columns] : filled_shapes()) {
      enter("AddRow", text(rows, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x, const auto& b) { return add_row(x, b); }, given.matrix(rows, columns),
                             given.plain_vector(columns, 100));
      });
    }
  }

  struct Product {
    index_t tokens, in, out, rank;
  };
  void products() {
    for (const Product& p : {Product{1, 1, 1, 1}, Product{4, 3, 5, 2}, Product{7, 18, 2, 5}, Product{2, 1, 6, 3},
                             Product{0, 3, 2, 1}, Product{3, 2, 4, 6}}) {
      enter("Linear", text(p.tokens, p.in, p.out), [p](const Given& given) {
        return given.examine([](const auto& x, const auto& w) { return linear(x, w); }, given.matrix(p.tokens, p.in),
                             given.matrix(p.out, p.in, 100));
      });
      const auto low_rank = [](const auto& x, const auto& w, const auto& a, const auto& b) {
        return low_rank_linear(x, w, a, b, 0.7);
      };
      // z = x aᵀ is rounded before it is multiplied by b, and so is dz = dy b before it is multiplied by a and x: one
      // rounding per rank, weighted by the other factor. The remaining error is the rounding of the result itself.
      enter(
          "LowRankLinear", text(p.tokens, p.in, p.out, p.rank),
          [p, low_rank](const Given& given) {
            return given.examine(low_rank, given.matrix(p.tokens, p.in), given.matrix(p.out, p.in, 100),
                                 given.plain_matrix(p.rank, p.in, 200), given.plain_matrix(p.out, p.rank, 300));
          },
          3.0, 3.0);
    }
  }

  void rows() {
    unary(
        "Softmax", [](const auto& x) { return softmax(x); }, 2.0);  // dx reads y, which is rounded
    for (const auto& [rows, columns] : filled_shapes()) {
      enter("RmsNorm", text(rows, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x, const auto& w) { return rms_norm(x, w, 0.1); },
                             given.matrix(rows, columns), given.plain_vector(columns, 100));
      });
      enter("RmsNorm", text(rows, 3, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x, const auto& w) { return grouped_rms_norm(x, w, 0.1, 1.0); },
                             given.matrix(rows, 3 * columns), given.vector(columns, 100));
      });
    }
    for (const auto& [tokens, heads, half] :
         {std::tuple<index_t, index_t, index_t>{1, 1, 1}, {5, 3, 2}, {2, 1, 9}, {0, 2, 2}}) {
      enter("Rope", text(tokens, heads, 2 * half), [tokens = tokens, heads = heads, half = half](const Given& given) {
        const auto cosines = given.plain_matrix(tokens, half, 100), sines = given.plain_matrix(tokens, half, 200);
        return given.examine([&](const auto& x) { return rope(x, cosines, sines); },
                             given.matrix(tokens, heads * 2 * half));
      });
      enter("Rope", text(tokens, heads, 2 * half, 3),
            [tokens = tokens, heads = heads, half = half](const Given& given) {
              const index_t width = 2 * half + 3;  // three features of a head do not turn
              const auto cosines = given.plain_matrix(tokens, half, 100), sines = given.plain_matrix(tokens, half, 200);
              return given.examine([&](const auto& x) { return rope(x, cosines, sines, width); },
                                   given.matrix(tokens, heads * width));
            });
    }
  }

  void orthogonality() {
    for (const auto& [rows, columns] : std::vector<std::pair<index_t, index_t>>{{1, 1}, {4, 5}, {5, 3}, {2, 19}}) {
      enter("Orthogonality", text(rows, columns), [rows = rows, columns = columns](const Given& given) {
        return given.examine([](const auto& x) { return add(row_orthogonality(x), column_orthogonality(x)); },
                             given.matrix(rows, columns));
      });
    }
  }

  void losses() {
    binary("Dot", [](const auto& x, const auto& y) { return dot(x, y); });
    binary("MeanSquaredError", [](const auto& x, const auto& y) { return mean_squared_error(x, y); });
    struct Labelled {
      index_t classes;
      std::vector<std::int32_t> labels;
    };
    for (const Labelled& l :
         {Labelled{1, {0}}, Labelled{5, {1, -100, 4, 0}}, Labelled{3, {-100, -100}}, Labelled{20, {19}},
          Labelled{4, {}}, Labelled{2, {1, 0, 1, 1, 0, -100, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1}}}) {
      const index_t rows = static_cast<index_t>(l.labels.size());
      const auto cross = [&](const auto& loss) {
        enter("CrossEntropy", text(rows, l.classes), [l, rows, loss](const Given& given) {
          const auto labels = vector_of<B>(l.labels);
          return given.examine([&](const auto& x) { return loss(x, labels); }, given.matrix(rows, l.classes));
        });
      };
      cross([](const auto& x, const auto& labels) { return cross_entropy(x, labels); });
      cross([](const auto& x, const auto& labels) { return cross_entropy_sum(x, labels, 0.3); });
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
      enter("GatherRows", text(count, p.extent, p.other), [p](const Given& given) {
        const auto ids = vector_of<B>(p.ids);
        return given.examine([&](const auto& x) { return gather_rows(x, ids); }, given.matrix(p.extent, p.other));
      });
      enter("GatherColumns", text(count, p.other, p.extent), [p](const Given& given) {
        const auto ids = vector_of<B>(p.ids);
        return given.examine([&](const auto& x) { return gather_columns(x, ids); }, given.matrix(p.other, p.extent));
      });
    }
    for (const auto& [begin, end] : std::vector<std::pair<index_t, index_t>>{{0, 5}, {1, 4}, {4, 5}, {2, 2}}) {
      enter("ColumnRange", text(begin, end), [begin = begin, end = end](const Given& given) {
        return given.examine([&](const auto& x) { return column_range(x, begin, end); }, given.matrix(3, 5));
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
      enter("PutRows", text(p.rows, p.columns, count), [p, count](const Given& given) {
        const auto at = vector_of<B>(p.at);
        return given.examine([&](const auto& x, const auto& rows) { return put_rows(x, rows, at); },
                             given.matrix(p.rows, p.columns), given.matrix(count, p.columns, 1));
      });
      enter("PutColumns", text(p.columns, p.rows, count), [p, count](const Given& given) {
        const auto at = vector_of<B>(p.at);
        return given.examine([&](const auto& x, const auto& part) { return put_columns(x, part, at); },
                             given.matrix(p.columns, p.rows), given.matrix(p.columns, count, 1));
      });
    }
  }

  struct Attended {
    const char* what;
    index_t heads, kv_heads, width, window;
    std::vector<SequenceRange> spans;
    std::optional<double> scale = {};
  };
  void attentions() {
    const std::vector<SequenceRange> packed{{0, 3, 0, 3, 3}, {3, 1, 3, 1, 1}, {4, 4, 4, 4, 4}};
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
      const auto check = [a](const Given& given) {
        const auto layout = std::make_shared<AttentionLayout>();
        layout->spans = a.spans;
        index_t queries = 0, keys = 0;
        for (const SequenceRange& span : a.spans) queries += span.queries, keys += span.keys;
        const auto f = [&](const auto& q, const auto& k, const auto& v) {
          return attention(q, k, v, layout, a.heads, a.kv_heads, a.window, a.scale);
        };
        return given.examine(f, given.matrix(queries, a.heads * a.width), given.matrix(keys, a.kv_heads * a.width, 100),
                             given.matrix(keys, a.kv_heads * a.width, 200));
      };
      // The weights are rounded for the matmul with v, and y is rounded as well. The gradients of the scores, which are
      // also rounded, are differences dp - dy.y of values several times as large, and dy.y reads the rounded y.
      enter("Attention", a.what, check, 2.0, 8.0);
    }
  }

  std::vector<OpCase<B, T>> cases_;
};

}  // namespace veneer::testing
