// SPDX-License-Identifier: Apache-2.0
/// \file concept.hpp
/// Backend: the concept of a device. It has four verbs; ops, adapters and optimizers are implemented once on
/// top of them.
///
///   memory        allocate, copy_in, copy_out
///   for_each      body(i) for i in [0, n), or body(r, c) for r in [0, rows), c in [0, columns), in any order
///   reduce_rows   out[r] = reduction over c of load(r, c)
///   gemm          C = alpha op(A) op(B) + beta C
///
/// A concept cannot express "for every functor", so it is checked with archetypes, which have the minimal requirements.
/// A functor consists of pointers and integers, is copyable, and is defined at namespace scope (a kernel cannot have a
/// local type as an argument). Optimised verbs are optional: an op checks `if constexpr (requires {
/// device.attention(...); })` and otherwise composes the basic verbs.
#pragma once

#include <concepts>
#include <limits>
#include <memory>

#include "veneer/core/portable.hpp"
#include "veneer/core/scalar.hpp"
#include "veneer/core/shape.hpp"

namespace veneer {

/// C = alpha op(A) op(B) + beta C on row-major matrices, repeated `batch` times with strides; op optionally transposes.
/// op(A): (m, k)   op(B): (k, n)   C: (m, n)   lda, ldb, ldc: distance between two rows as stored, in elements.
/// With beta = 0, C is not read (it may contain NaN). C overlaps neither A nor B. Sums are in compute_t<In>, and are
/// rounded once, when they are stored.
/// \tparam In  storage type of A and B
/// \tparam Out  storage type of C: In, or compute_t<In>
template <Stored In, Stored Out = In>
struct Gemm {
  static_assert(std::same_as<Out, In> || std::same_as<Out, compute_t<In>>,
                "veneer::Gemm<In, Out>: the result has the type of the operands, or that of their arithmetic");
  using compute = compute_t<In>;
  bool transpose_a = false;
  bool transpose_b = false;
  index_t m = 0, n = 0, k = 0;
  compute alpha = 1;
  const In* a = nullptr;
  index_t lda = 0;
  const In* b = nullptr;
  index_t ldb = 0;
  compute beta = 0;
  Out* c = nullptr;
  index_t ldc = 0;
  index_t batch = 1;
  index_t stride_a = 0, stride_b = 0, stride_c = 0;
};

/// Monoids of reduce_rows: an identity, and a combination that is associative and commutative up to rounding.
template <Real T>
struct Sum {
  using value_type = T;
  VENEER_HD static T identity() { return T(0); }
  VENEER_HD static T combine(T a, T b) { return a + b; }
};
template <Real T>
struct Maximum {
  using value_type = T;
  VENEER_HD static T identity() { return -std::numeric_limits<T>::infinity(); }
  /// Returns NaN if either argument is NaN.
  VENEER_HD static T combine(T a, T b) {
    const T larger = a < b ? b : a;
    return b != b ? b : larger;
  }
};

namespace archetype {
/// A minimal body of for_each.
struct Body {
  VENEER_HD void operator()(index_t) const {}
};
/// A minimal body of for_each over two extents.
struct RowBody {
  VENEER_HD void operator()(index_t, index_t) const {}
};
/// A minimal load of reduce_rows.
struct Load {
  VENEER_HD float operator()(index_t, index_t) const { return 0.0f; }
};
}  // namespace archetype

template <class B>
concept Backend =
    std::copyable<B> && std::default_initializable<B> &&
    requires(const B device, float* x, const float* y, index_t n, Gemm<float> single, Gemm<double> twice) {
      // memory
      { device.template allocate<float>(n) } -> std::same_as<std::shared_ptr<float>>;
      device.copy_in(x, y, n);   // host -> device
      device.copy_out(x, y, n);  // device -> host, and wait
      // Work; `cost`, the number of elementary steps of one body, is a hint for dividing the range.
      device.for_each(n, archetype::Body{});
      device.for_each(n, archetype::Body{}, n);
      device.for_each(n, n, archetype::RowBody{});
      device.for_each(n, n, archetype::RowBody{}, n);
      device.reduce_rows(Sum<float>{}, n, n, archetype::Load{}, x);
      device.gemm(single);
      device.gemm(twice);
      device.synchronize();
    };

}  // namespace veneer
