// SPDX-License-Identifier: Apache-2.0
/// \file host_tensor.hpp
/// Tensors of a model as a file holds them: bytes on the host under a name, in the element type of their storage or in
/// another; a 4-bit weight in the parts that bitsandbytes writes.
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

/// The dtype of files that holds a T.
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

/// Bytes of a tensor on the host, kept alive while a file is written.
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

/// The values of a quantised weight: one tensor that any reader knows.
template <QuantizedTensorLike W>
HostTensor host_tensor(std::string name, const W& w) {
  return host_tensor(std::move(name), decode(w));
}

/// x rounded to the element type that `dtype` names; F32 for all but the 16-bit ones.
template <Real T, ShapeLike S, Backend B>
HostTensor host_tensor_as(std::string name, const Tensor<T, S, B>& x, Dtype dtype) {
  if (dtype == Dtype::bf16) return host_tensor(std::move(name), convert<bfloat16>(x));
  if (dtype == Dtype::f16) return host_tensor(std::move(name), convert<half>(x));
  return host_tensor(std::move(name), convert<float>(x));
}

/// The tensors of one weight, under its name: that of a format that files do not have is written dense.
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
