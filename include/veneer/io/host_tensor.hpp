// SPDX-License-Identifier: Apache-2.0
/// \file host_tensor.hpp
/// HostTensor: a tensor as in a file, with a name and bytes on the host, in its storage type or another. A 4-bit weight
/// becomes the several tensors of bitsandbytes' format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/quantization.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/quant/nf4_tensor.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

namespace detail {

/// Returns the dtype of a T in files.
template <Scalar T>
constexpr Dtype dtype_of() {
  static_assert(Stored<T> || std::same_as<T, std::uint8_t>);
  if constexpr (std::same_as<T, std::uint8_t>) return Dtype::u8;
  if constexpr (std::same_as<T, float>) return Dtype::f32;
  if constexpr (std::same_as<T, double>) return Dtype::f64;
  if constexpr (std::same_as<T, bfloat16>) return Dtype::bf16;
  if constexpr (std::same_as<T, half>) return Dtype::f16;
}

template <ShapeLike S>
std::vector<std::int64_t> extents_of(const S& shape) {
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < S::rank; ++axis) extents.push_back(shape[axis]);
  return extents;
}

/// The bytes of a tensor on the host, kept alive while a file is written.
struct HostTensor {
  TensorView view;
  std::shared_ptr<const void> keep;
};

template <Scalar U, ShapeLike S, Backend B>
HostTensor host_tensor(std::string name, const Tensor<U, S, B>& x) {
  HostTensor out{{std::move(name), dtype_of<U>(), extents_of(x.shape()), nullptr}, nullptr};
  if constexpr (std::same_as<B, Cpu>) {
    out.keep = x.share();
    out.view.data = x.data();
  } else {
    auto values = std::make_shared<std::vector<U>>(to_host(x));
    out.view.data = values->data();
    out.keep = values;
  }
  return out;
}

/// Returns the dense values of a quantised weight, as one tensor in a common element type.
template <QuantizedTensorLike W>
HostTensor host_tensor(std::string name, const W& w) {
  return host_tensor(std::move(name), decode(w));
}

/// Returns x rounded to the element type `dtype`; F32 for all except the 16-bit ones.
template <Real T, ShapeLike S, Backend B>
HostTensor host_tensor_as(std::string name, const Tensor<T, S, B>& x, Dtype dtype) {
  if (dtype == Dtype::bf16) return host_tensor(std::move(name), convert<bfloat16>(x));
  if (dtype == Dtype::f16) return host_tensor(std::move(name), convert<half>(x));
  return host_tensor(std::move(name), convert<float>(x));
}

/// Returns the tensors of one weight, under its name; a format without a form in files becomes dense values.
template <class W>
void append_tensors(std::vector<HostTensor>& out, const std::string& name, const W& x) {
  out.push_back(host_tensor(name, x));
}
template <ShapeLike S, Backend B, Real T>
void append_tensors(std::vector<HostTensor>& out, const std::string& name, const NF4Tensor<S, B, T>& w) {
  const PackedParts<B>& parts = w.parts();
  out.push_back(host_tensor(name, parts.codes.reshape(Shape<dyn, 1>(parts.codes.count()))));
  const auto bytes = [&](std::string key, const auto& values, Dtype dtype) {
    const auto kept = std::make_shared<std::remove_cvref_t<decltype(values)>>(values);
    out.push_back({{std::move(key), dtype, {static_cast<std::int64_t>(values.size())}, kept->data()}, kept});
  };
  const BlockScales<B>& scales = parts.scales;
  if (scales.nested()) {
    out.push_back(host_tensor(name + ".absmax", scales.codes()));
    out.push_back(host_tensor(name + ".nested_absmax", scales.nested_absmax()));
    out.push_back(host_tensor(name + ".nested_quant_map", scales.map()));
  } else {
    out.push_back(host_tensor(name + ".absmax", scales.absmax()));
  }
  bytes(name + ".quant_map", parts.values, Dtype::f32);
  bytes(quant_state_name(name, parts.book), quant_state_text(w), Dtype::u8);
}

inline std::vector<TensorView> views(const std::vector<HostTensor>& tensors) {
  std::vector<TensorView> out;
  for (const HostTensor& tensor : tensors) out.push_back(tensor.view);
  return out;
}

}  // namespace detail

}  // namespace veneer
