// SPDX-License-Identifier: Apache-2.0
/// \file quantized_tensor.hpp
/// QuantizedTensorLike: the concept of a frozen quantised weight, and the functions of all such formats: the operand of
/// a matmul, dense values, and gathered rows.
///
///   w[i] = view(i)      i: index of the flattened tensor
/// A format is one header. It defines a type F<Shape, Backend, T> with
///   F(tensor, options)               quantises
///   F::uninitialized(shape, options, device)    memory of the same size, for planning
///   shape, extent, count, device, operator bool, share, bytes     as in Tensor
///   view()                           element i in float, device code
///   F::decoder()                     runs of elements on the host
///   options(), from()                the options to quantise other values in the same way, and the original type
///   finite()                         whether all values are finite
/// and its options, with the name of the format and its tensor type:
///   struct FOptions { static constexpr const char* name = "f"; template <...> using tensor = F<S, B, T>; };
/// Models support a format that is listed in QuantizeOptions (nn/weight_slot.hpp).
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"

namespace veneer {

/// The element type of the weight before quantisation. Merging decodes to it, as PEFT does.
enum class QuantizedFrom { float32, float16, bfloat16 };

template <Scalar U>
inline constexpr QuantizedFrom quantized_from = std::is_same_v<U, half>       ? QuantizedFrom::float16
                                                : std::is_same_v<U, bfloat16> ? QuantizedFrom::bfloat16
                                                                              : QuantizedFrom::float32;

template <class W>
concept QuantizedTensorLike = requires(const std::remove_cvref_t<W>& w, index_t i) {
  { w.view()(i) } -> std::same_as<float>;
  { w.decoder() } -> std::same_as<const RunDecoder&>;
  { w.from() } -> std::same_as<QuantizedFrom>;
  w.options();
};

namespace ops {

template <Stored To, class View>
struct DecodeBody {
  To* y;
  View w;
  VENEER_HD void operator()(index_t i) const { y[i] = static_cast<To>(w(i)); }
};

/// A kernel that decodes row ids[i] of a table of (rows, columns).    y: (count, columns)
template <Real T, class View>
struct DecodedRows {
  View w;
  const std::int32_t* ids;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return static_cast<T>(w(place_of(ids[r]) * columns + c)); }
};

/// The op that gathers rows of a quantised table. The table is frozen, so there is no backward pass.
struct DecodeRows {
  template <QuantizedTensorLike W, TensorLike I>
  auto forward(const W& w, const I& ids) const {
    using T = typename W::scalar;
    using S = Shape<extent_of<typename I::shape_type, 0>, extent_of<typename W::shape_type, 1>>;
    Tensor<T, S, typename W::backend> y(shape_of<S>(ids.extent(0), w.extent(1)), w.device());
    map_rows(y, DecodedRows<T, std::remove_cvref_t<decltype(w.view())>>{w.view(), ids.data(), w.extent(1)});
    return y;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return Reads::nothing(); }
};

}  // namespace ops

/// Returns the weight as an operand of a matmul, optionally transposed.
template <QuantizedTensorLike W>
Operand operand(const W& w, bool transposed) {
  return {&w.view(), w.extent(-1), transposed, Storage::coded, &w.decoder()};
}

/// Returns the values in another type: the float value, rounded to nearest even if To is narrower.
template <Stored To, QuantizedTensorLike W>
auto decode_as(const W& w) {
  using Y = Tensor<To, typename W::shape_type, typename W::backend>;
  if (!w) return Y(w.shape(), w.device(), nullptr);
  Y y(w.shape(), w.device());
  if constexpr (requires { y.device().decode(w.decoder(), &w.view(), y.count(), y.data()); }) {
    y.device().decode(w.decoder(), &w.view(), y.count(), y.data());
  } else {
    y.device().for_each(y.count(), ops::DecodeBody<To, std::remove_cvref_t<decltype(w.view())>>{y.data(), w.view()});
  }
  return y;
}

/// Returns the dense values, of the same shape.
template <QuantizedTensorLike W>
auto decode(const W& w) {
  return decode_as<typename W::scalar>(w);
}

/// Gathers rows of a quantised table.    w: (rows, columns)   ids: (count), each in [0, rows)
///                                    result: (count, columns)
template <QuantizedTensorLike W, ValueLike I>
auto gather_rows(const W& w, const I& ids) {
  static_assert(W::rank == 2 && I::shape_type::rank == 1 && std::is_same_v<typename I::scalar, std::int32_t>,
                "veneer::gather: expected a matrix and a vector of int32 indices");
  return apply(ops::DecodeRows{}, w, ids);
}

}  // namespace veneer
