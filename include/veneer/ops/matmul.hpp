// SPDX-License-Identifier: Apache-2.0
/// \file matmul.hpp
/// y = beta y + sum of terms scale op(x) op(w), where each operand is a tensor or a weight of any format.
///
/// A weight format has a shape, decode(w), its dense values in the compute type, and operand(w), its stored form as an
/// operand of a matmul. A backend with the optional verb `matmul` reads all operands in their stored form and rounds
/// y once; otherwise operands are decoded for the duration of one matmul.
#pragma once

#include <concepts>
#include <type_traits>

#include "veneer/autograd/tape.hpp"
#include "veneer/backend/operand.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

/// Returns a tensor in the type used by a matmul; float and double unchanged.
template <Stored T, ShapeLike S, Backend B>
decltype(auto) decode(const Tensor<T, S, B>& w) {
  if constexpr (Real<T>) {
    return (w);
  } else {
    return convert<float>(w);
  }
}

/// Returns a matrix as an operand of a matmul, optionally transposed.
template <Stored T, ShapeLike S, Backend B>
Operand operand(const Tensor<T, S, B>& x, bool transposed) {
  return operand(x.data(), x.extent(-1), transposed);
}

/// The weight of a layer: a type with a shape (out, in), dense values and an operand.
template <class W>
concept Weight = requires(const W& w) {
  { w.shape()[0] } -> std::convertible_to<index_t>;
  decode(value_of(w));
  { operand(value_of(w), true) } -> std::same_as<Operand>;
};

/// A weight whose type has no gradient.
template <class W>
concept FrozenWeight = Weight<W> && !VariableLike<W> && !ParameterLike<W>;

namespace ops {

template <class B>
concept ReadsOperands = requires(const B& device, const Matmul& product) { device.matmul(product); };

template <bool TransposeX, bool TransposeW, class X, class W>
struct TermOf {
  const X& x;
  const W& w;
  double scale;

  index_t inner() const { return x.shape()[TransposeX ? 0 : 1]; }
};

/// Returns the term scale op(x) op(w).
template <bool TransposeX, bool TransposeW, class X, class W>
TermOf<TransposeX, TransposeW, X, W> term(const X& x, const W& w, double scale = 1.0) {
  return {x, w, scale};
}

/// Computes c = beta c + term, in the compute type.
template <bool TransposeX, bool TransposeW, class C, class X, class W>
void add_decoded(C& c, double beta, const TermOf<TransposeX, TransposeW, X, W>& t) {
  using T = typename C::scalar;
  const auto& x = decode(t.x);
  const auto& w = decode(t.w);
  Gemm<T> gemm{.transpose_a = TransposeX, .transpose_b = TransposeW};
  gemm.m = c.extent(0), gemm.n = c.extent(1), gemm.k = t.inner();
  gemm.alpha = static_cast<T>(t.scale), gemm.beta = static_cast<T>(beta);
  gemm.a = x.data(), gemm.lda = x.extent(1);
  gemm.b = w.data(), gemm.ldb = w.extent(1);
  gemm.c = c.data(), gemm.ldc = c.extent(1);
  c.device().gemm(gemm);
}

/// Computes y = beta y + the sum of the terms.
/// \param arithmetic  the type of multiplication, see Matmul
template <TensorLike Y, class... Terms>
void sum_of_matmuls_in(Storage arithmetic, Y& y, double beta, const Terms&... terms) {
  using C = compute_t<typename Y::scalar>;
  if constexpr (ReadsOperands<typename Y::backend>) {
    Matmul p{.arithmetic = arithmetic, .m = y.extent(0), .n = y.extent(1), .count = 0};
    const auto enter = [&]<bool Tx, bool Tw, class X, class W>(const TermOf<Tx, Tw, X, W>& t) {
      p.terms[p.count++] = {operand(t.x, Tx), operand(t.w, Tw), t.inner(), t.scale};
    };
    (enter(terms), ...);
    p.beta = beta, p.c = y.data(), p.ldc = y.extent(1), p.stored = storage_of<typename Y::scalar>;
    y.device().matmul(p);
  } else {
    Tensor<C, typename Y::shape_type, typename Y::backend> sum = convert<C>(y);
    ((add_decoded(sum, beta, terms), beta = 1.0), ...);
    if constexpr (!std::same_as<C, typename Y::scalar>) y = convert<typename Y::scalar>(sum);
  }
}

/// Multiplies in the arithmetic of the first operand's storage type.
template <TensorLike Y, bool Tx, bool Tw, class X, class W, class... Terms>
void sum_of_matmuls(Y& y, double beta, const TermOf<Tx, Tw, X, W>& first, const Terms&... others) {
  sum_of_matmuls_in(arithmetic_of<typename X::scalar>, y, beta, first, others...);
}

/// Computes y = alpha op(x) op(w) + beta y.
template <bool TransposeX, bool TransposeW, TensorLike Y, class X, class W>
void matmul(Y& y, const X& x, const W& w, double alpha = 1.0, double beta = 0.0) {
  sum_of_matmuls(y, beta, term<TransposeX, TransposeW>(x, w, alpha));
}

}  // namespace ops
}  // namespace veneer
