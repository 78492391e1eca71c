// SPDX-License-Identifier: Apache-2.0
/// \file pointwise.hpp
/// Elementwise ops: y[i] = f(x[i], ...), all operands of one shape.
///
///   silu(x) = x * sigmoid(x)              Elfwing et al., arXiv:1702.03118
///   swiglu(g, u) = silu(g) * u            Shazeer, arXiv:2002.05202, eq. 6 without the matmuls
///   geglu(g, u) = g * sigmoid(2 z(g)) * u, z(g) = sqrt(2 / pi) (g + 0.044715 g^3): GELU in its tanh form
///                                         Hendrycks and Gimpel, arXiv:1606.08415, section 2
///   relu(x), add(x, y), multiply(x, y), divide(x, y), scale(x, factor)
///   add_row(x, b) = x[r, c] + b[c]        a bias
///
/// A function is defined by its value and its partial derivatives in the compute type; forward and pullback for all
/// backends and storage types follow from them.
#pragma once

#include <tuple>

#include "veneer/autograd/apply.hpp"
#include "veneer/core/math.hpp"
#include "veneer/ops/gemm.hpp"
#include "veneer/ops/map.hpp"

namespace veneer {

namespace ops {

template <Real T>
struct Silu {
  VENEER_HD T value(T x) const { return x * sigmoid(x); }
  VENEER_HD T partial(Wrt<0>, T x) const {
    const T s = sigmoid(x);
    return s * (T(1) + x * (T(1) - s));
  }
};

template <Real T>
struct Relu {
  VENEER_HD T value(T x) const { return x > T(0) ? x : T(0); }
  VENEER_HD T partial(Wrt<0>, T x) const { return x > T(0) ? T(1) : T(0); }
};

template <Real T>
struct Multiply {
  VENEER_HD T value(T x, T y) const { return x * y; }
  VENEER_HD T partial(Wrt<0>, T, T y) const { return y; }
  VENEER_HD T partial(Wrt<1>, T x, T) const { return x; }
};

template <Real T>
struct Divide {
  VENEER_HD T value(T x, T y) const { return x / y; }
  VENEER_HD T partial(Wrt<0>, T, T y) const { return T(1) / y; }
  VENEER_HD T partial(Wrt<1>, T x, T y) const { return -x / (y * y); }
};

template <Real T>
struct SwiGlu {
  VENEER_HD T value(T gate, T up) const { return gate * sigmoid(gate) * up; }
  VENEER_HD T partial(Wrt<0>, T gate, T up) const { return Silu<T>{}.partial(Wrt<0>{}, gate) * up; }
  VENEER_HD T partial(Wrt<1>, T gate, T) const { return gate * sigmoid(gate); }
};

/// Uses 0.5 (1 + tanh(z)) = sigmoid(2 z), which has no cancellation for z far below 0.
template <Real T>
struct GeGlu {
  static constexpr double root = 0.79788456080286535588, cube = 0.044715;  // sqrt(2 / pi)
  VENEER_HD T gate(T x) const { return sigmoid(T(2 * root) * (x + T(cube) * x * x * x)); }
  VENEER_HD T value(T x, T up) const { return x * gate(x) * up; }
  VENEER_HD T partial(Wrt<0>, T x, T up) const {
    const T s = gate(x);
    return (s + x * s * (T(1) - s) * T(2 * root) * (T(1) + T(3 * cube) * x * x)) * up;
  }
  VENEER_HD T partial(Wrt<1>, T x, T) const { return x * gate(x); }
};

/// dy[i] * f'(x[i]).
template <class F, Stored T>
struct UnarySlope {
  F f;
  const T* dy;
  const T* x;
  VENEER_HD auto operator()(index_t i) const { return dy[i] * f.partial(Wrt<0>{}, x[i]); }
};

template <class F, Stored T>
struct BinaryPullbackBody {
  F f;
  T* dx;
  T* dy;
  const T* dz;
  const T* x;
  const T* y;
  VENEER_HD void operator()(index_t i) const {
    const auto slope_x = f.partial(Wrt<0>{}, x[i], y[i]), slope_y = f.partial(Wrt<1>{}, x[i], y[i]);
    const T d = dz[i];
    dx[i] = static_cast<T>(d * slope_x);
    dy[i] = static_cast<T>(d * slope_y);
  }
};

/// The op y = f(x) of a unary function.
template <template <class> class F>
struct Unary {
  template <TensorLike X>
  X forward(const X& x) const {
    using T = typename X::scalar;
    X y(x.shape(), x.device());
    map(y, UnaryValue<F<compute_t<T>>, T>{{}, x.data()}, 4);
    return y;
  }

  template <TensorLike Dy, TensorLike X>
  Dy pullback(Wrt<0>, const Dy& dy, const auto&, const X& x) const {
    using T = typename X::scalar;
    Dy dx(dy.shape(), dy.device());
    map(dx, UnarySlope<F<compute_t<T>>, T>{{}, dy.data(), x.data()}, 8);
    return dx;
  }

  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::operand(0); }
};

/// Returns an uninitialised tensor with the common shape of two operands.
template <TensorLike X, TensorLike Y>
auto like_both(const X& x, const Y&) {
  using S = unify_t<typename X::shape_type, typename Y::shape_type>;
  return Tensor<typename X::scalar, S, typename X::backend>(S(x.shape()), x.device());
}

/// The op z = f(x, y) of a binary function; both gradients are computed in one pass.
template <template <class> class F>
struct Binary {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    using T = typename X::scalar;
    auto z = like_both(x, y);
    map(z, BinaryValue<F<compute_t<T>>, T>{{}, x.data(), y.data()}, 4);
    return z;
  }

  template <TensorLike Dz, TensorLike X, TensorLike Y>
  auto pullbacks(const RequiresGrad<2>&, const Dz& dz, const auto&, const X& x, const Y& y) const {
    using T = typename X::scalar;
    using Body = BinaryPullbackBody<F<compute_t<T>>, T>;
    Dz dx(dz.shape(), dz.device()), dy(dz.shape(), dz.device());
    dz.device().for_each(dz.count(), Body{{}, dx.data(), dy.data(), dz.data(), x.data(), y.data()}, 8);
    return std::tuple{dx, dy};
  }

  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::operand(0) | Reads::operand(1); }
};

template <Real T>
struct Plus {
  VENEER_HD T value(T x, T y) const { return x + y; }
};

/// The op z = x + y. The gradient of both operands is dz itself: nothing is copied.
struct Add {
  template <TensorLike X, TensorLike Y>
  auto forward(const X& x, const Y& y) const {
    using T = typename X::scalar;
    auto z = like_both(x, y);
    map(z, BinaryValue<Plus<compute_t<T>>, T>{{}, x.data(), y.data()});
    return z;
  }
  template <int I>
  auto pullback(Wrt<I>, const auto& dz, const auto&...) const {
    return dz;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::nothing(); }
};

template <Real T>
struct Times {
  T factor;
  VENEER_HD T value(T x) const { return factor * x; }
};

/// The op y = factor * x, with a constant factor.
struct Scale {
  double factor = 1.0;

  template <TensorLike X>
  X forward(const X& x) const {
    using T = typename X::scalar;
    using C = compute_t<T>;
    X y(x.shape(), x.device());
    map(y, UnaryValue<Times<C>, T>{{static_cast<C>(factor)}, x.data()});
    return y;
  }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const { return forward(dy); }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

template <Stored T, Stored U>
struct AddRowValue {
  const T* x;
  const U* row;
  index_t columns;
  VENEER_HD auto operator()(index_t r, index_t c) const {
    return x[r * columns + c] + static_cast<compute_t<T>>(row[c]);
  }
};

/// Computes sums[c] = sum over r of value(r, c), for r in [0, rows); summed by the backend, or as a matmul with ones,
/// which is the fastest way to read columns.
template <Real C, ShapeLike S, Backend B, class Value>
Tensor<C, S, B> column_sums(S shape, const B& device, index_t rows, const Value& value) {
  Tensor<C, S, B> sums(shape, device);
  const index_t columns = sums.count();
  if constexpr (requires { device.sum_columns(rows, columns, value, sums.data()); }) {
    device.sum_columns(rows, columns, value, sums.data());
  } else {
    Matrix<C, B> terms(Shape<dyn, dyn>(rows, columns), device);
    map_rows(terms, value);
    const auto ones = full<C>(Shape<dyn>(rows), C(1), device);
    Gemm<C> product{.m = 1, .n = columns, .k = rows};
    product.a = ones.data(), product.lda = rows;
    product.b = terms.data(), product.ldb = columns;
    product.c = sums.data(), product.ldc = columns;
    gemm(device, product);
  }
  return sums;
}

/// Returns the sum over the rows of a matrix, in its compute type.
template <TensorLike X>
auto column_sums(const X& x) {
  using T = typename X::scalar;
  using S = Shape<extent_of<typename X::shape_type, 1>>;
  return column_sums<compute_t<T>>(shape_of<S>(x.extent(1)), x.device(), x.extent(0),
                                   RowsLoad<T>{x.data(), x.extent(1)});
}

/// The op y[r, c] = x[r, c] + row[c].
struct AddRow {
  template <TensorLike X, TensorLike R>
  X forward(const X& x, const R& row) const {
    X y(x.shape(), x.device());
    map_rows(y, AddRowValue<typename X::scalar, typename R::scalar>{x.data(), row.data(), y.extent(1)});
    return y;
  }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const { return dy; }
  auto pullback(Wrt<1>, const auto& dy, const auto&...) const { return column_sums(dy); }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::nothing(); }
};

template <ValueLike X, ValueLike Y>
void expect_same_shape(const char* name, const X& x, const Y& y) {
  static_assert(std::same_as<typename X::scalar, typename Y::scalar>,
                "veneer: both operands must hold the same element type; use convert<T>(x)");
  if (!(x.shape() == y.shape())) {
    throw ShapeError(std::string("veneer::") + name + "(x, y): x and y must have the same shape; they are " +
                     to_string(x.shape()) + " and " + to_string(y.shape()));
  }
}

template <class Left, class Right>
inline constexpr bool same_extents = false;
template <index_t... Left, index_t... Right>
  requires(sizeof...(Left) == sizeof...(Right))
inline constexpr bool same_extents<Shape<Left...>, Shape<Right...>> = (SameExtent<Left, Right> && ...);

/// A relation of two shape types, as a concept, so that compilers print the extents that violate it.
template <class X, class Y>
concept SameShape = same_extents<typename X::shape_type, typename Y::shape_type>;

}  // namespace ops

/// Returns x * sigmoid(x), elementwise.
template <ValueLike X>
auto silu(const X& x) {
  return apply(ops::Unary<ops::Silu>{}, x);
}

/// Returns max(x, 0), elementwise; its derivative at 0 is 0.
template <ValueLike X>
auto relu(const X& x) {
  return apply(ops::Unary<ops::Relu>{}, x);
}

/// Returns x * y, elementwise.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto multiply(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::multiply(x, y): x and y must have the same shape");
  ops::expect_same_shape("multiply", x, y);
  return apply(ops::Binary<ops::Multiply>{}, x, y);
}

/// Returns x / y, elementwise.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto divide(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::divide(x, y): x and y must have the same shape");
  ops::expect_same_shape("divide", x, y);
  return apply(ops::Binary<ops::Divide>{}, x, y);
}

/// Returns silu(gate) * up, elementwise.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto swiglu(const X& gate, const Y& up) {
  static_assert(ops::SameShape<X, Y>, "veneer::swiglu(gate, up): gate and up must have the same shape");
  ops::expect_same_shape("swiglu", gate, up);
  return apply(ops::Binary<ops::SwiGlu>{}, gate, up);
}

/// Returns gelu(gate) * up in the tanh form of GELU, elementwise.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto geglu(const X& gate, const Y& up) {
  static_assert(ops::SameShape<X, Y>, "veneer::geglu(gate, up): gate and up must have the same shape");
  ops::expect_same_shape("geglu", gate, up);
  return apply(ops::Binary<ops::GeGlu>{}, gate, up);
}

/// Returns x + y, elementwise.
/// \throws ShapeError when the shapes differ
template <ValueLike X, ValueLike Y>
auto add(const X& x, const Y& y) {
  static_assert(ops::SameShape<X, Y>, "veneer::add(x, y): x and y must have the same shape");
  ops::expect_same_shape("add", x, y);
  return apply(ops::Add{}, x, y);
}

/// Returns factor * x.
template <ValueLike X>
auto scale(const X& x, double factor) {
  return apply(ops::Scale{factor}, x);
}

/// Returns x + row, with the same row added to every row of x.    x: (rows, columns)   row: (columns), of any type
/// \throws ShapeError when the extents differ
template <ValueLike X, ValueLike R>
auto add_row(const X& x, const R& row) {
  static_assert(X::shape_type::rank == 2 && R::shape_type::rank == 1,
                "veneer::add_row(x, row): x must be a matrix and row a vector");
  static_assert(SameExtent<extent_of<typename X::shape_type, -1>, extent_of<typename R::shape_type, 0>>,
                "veneer::add_row(x, row): the last extent of x must equal the extent of row");
  if (x.extent(-1) != row.extent(0)) {
    throw ShapeError("veneer::add_row(x, row): the last extent of x must equal the extent of row; they are " +
                     std::to_string(x.extent(-1)) + " and " + std::to_string(row.extent(0)));
  }
  return apply(ops::AddRow{}, x, row);
}

}  // namespace veneer
