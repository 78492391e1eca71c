// SPDX-License-Identifier: Apache-2.0
/// \file llama_checkpoint.hpp
/// load_llama(folder): reads a model from a Hugging Face folder (config.json, and model.safetensors or its shards).
///
/// Weights keep the type that they have in the file (F32, BF16, F16, bitsandbytes' 4 bits; F64 is rounded to F32), or
/// are quantised as they are read. Every tensor of the model must be in the files, with its shape, and every tensor of
/// the files in the model: one error lists all that are missing, extra or misshapen. Nothing is allocated before all
/// shapes have been compared. save_llama writes such a folder.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/io/error_list.hpp"
#include "veneer/io/file.hpp"
#include "veneer/io/host_tensor.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/io/spare_tensors.hpp"
#include "veneer/nn/llama.hpp"
#include "veneer/peft/attach.hpp"

namespace veneer {

struct LoadLlamaOptions {
  /// Quantises the weights of linear layers one by one as they are read. Embeddings, norms, biases and the head are not
  /// quantised, and weights that are 4-bit in the files keep their form.
  std::optional<QuantizeOptions> quantise{};
};

/// A Llama whose sizes, storage types and adapters are chosen at run time.
template <Backend B = Cpu, Real T = float>
using AnyLlama = Llama<LlamaExtents{}, B, stored<T>, AnyAdapter<B, T>, AnyEmbeddingAdapter<B, T>>;

namespace detail {

/// Returns a tensor of a file in its stored type, on the device.
template <Scalar U, ShapeLike S, Backend B>
Tensor<U, S, B> read_stored(const TensorEntry& entry, S shape, const B& device) {
  Tensor<U, S, B> out(shape, device);
  if (reinterpret_cast<std::uintptr_t>(entry.data) % alignof(U) == 0) {
    device.copy_in(out.data(), reinterpret_cast<const U*>(entry.data), out.count());
  } else {
    std::vector<U> aligned(static_cast<std::size_t>(out.count()));
    std::memcpy(aligned.data(), entry.data, entry.bytes);
    device.copy_in(out.data(), aligned.data(), out.count());
  }
  return out;
}

/// Returns a tensor of a file, converted to T.
template <Real T, ShapeLike S, Backend B>
Tensor<T, S, B> read_widened(const TensorEntry& entry, S shape, const B& device) {
  std::vector<T> values(static_cast<std::size_t>(shape.count()));
  read_floats(entry, values.data());
  return from_host(shape, values, device);
}

/// Fills a shape-only weight.
template <class W, Backend B>
void read_weight(W& weight, const TensorEntry& entry, const B& device) {
  using T = typename W::scalar;
  const auto shape = weight.shape();
  if constexpr (WeightSlotLike<W> && std::same_as<T, float>) {
    if (entry.dtype == Dtype::bf16) {
      weight = W(read_stored<bfloat16>(entry, shape, device));
      return;
    }
    if (entry.dtype == Dtype::f16) {
      weight = W(read_stored<half>(entry, shape, device));
      return;
    }
  }
  if constexpr (std::same_as<T, float>) {
    if (entry.dtype == Dtype::f32) {
      weight = W(read_stored<float>(entry, shape, device));
      return;
    }
  }
  weight = W(read_widened<T>(entry, shape, device));
}

/// Returns a tensor of a file that is read once: on the host a view of the mapped file, on other devices a copy.
template <Scalar U, ShapeLike S, Backend B>
Tensor<U, S, B> view_stored(const TensorEntry& entry, S shape, const B& device) {
  if constexpr (std::same_as<B, Cpu>) {
    if (reinterpret_cast<std::uintptr_t>(entry.data) % alignof(U) == 0) {
      U* values = const_cast<U*>(reinterpret_cast<const U*>(entry.data));  // only read: the handles are temporary
      return Tensor<U, S, B>(shape, device, std::shared_ptr<U>(std::shared_ptr<void>(), values));
    }
  }
  return read_stored<U>(entry, shape, device);
}

/// Returns a slot with a quantised weight of a file.
/// \throws FormatError when a value is not finite
template <WeightSlotLike W, TensorLike X>
W quantise_weight(const std::string& name, const X& w, const QuantizeOptions& options) {
  const auto expect = [&](bool finite) {
    expects<FormatError>(finite, "tensor \"" + printable(name) +
                                     "\": has a value that is not finite, which the format cannot represent");
  };
  try {
    W slot = quantised<W>(w, options);
    expect(slot.select_stored([](const auto& stored) {
      if constexpr (QuantizedTensorLike<decltype(stored)>) return stored.finite();
      return true;
    }));
    return slot;
  } catch (const ArgumentError&) {  // of the options, or of a format that refuses such values
    const auto values = to_host(convert<float>(w));
    expect(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }));
    throw;
  }
}

/// Returns whether a weight may be quantised.
template <class W>
concept HoldsPacked = WeightSlotLike<W> && W::shape_type::rank == 2;

template <HoldsPacked W, Backend B>
void read_quantised(W& weight, const TensorEntry& entry, const B& device, const QuantizeOptions& options) {
  const auto shape = weight.shape();
  const auto quantise = [&]<class U>(U) {
    weight = quantise_weight<W>(entry.name, view_stored<U>(entry, shape, device), options);
  };
  if (entry.dtype == Dtype::bf16) {
    quantise(bfloat16{});
  } else if (entry.dtype == Dtype::f16) {
    quantise(half{});
  } else if (entry.dtype == Dtype::f32) {
    quantise(float{});
  } else {
    weight = quantise_weight<W>(entry.name, read_widened<float>(entry, shape, device), options);
  }
}

/// Reads one weight, whatever its storage type, and quantises it if requested.
template <class W, Backend B>
void read_any_weight(W& weight, const std::string& name, const ShardedCheckpoint& checkpoint, const B& device,
                     const std::optional<QuantizeOptions>& quantise) {
  const TensorEntry& entry = checkpoint.at(name);
  if constexpr (HoldsPacked<W>) {
    using S = typename W::shape_type;
    if (find_quant_state(checkpoint, name)) {
      weight = W(read_nf4<ShardedCheckpoint, S, B, typename W::scalar>(checkpoint, name, weight.shape(), device));
      return;
    }
    if (quantise) {
      read_quantised(weight, entry, device, *quantise);
      return;
    }
  }
  read_weight(weight, entry, device);
}

inline ErrorList tensor_errors() {
  return ErrorList("tensor does not fit the model:", "tensors do not fit the model:");
}

/// Calls f(name, weight) for every existing weight and bias of the base, trained or not.
template <class M, class F>
void visit_base(M& model, const F& f) {
  visit(model, [&](const std::string& name, WeightedModule auto& part) {
    const auto one = [&](const char* leaf, auto& weight) {
      using W = std::remove_cvref_t<decltype(weight)>;
      if constexpr (WeightSlotLike<W>) {
        if (present(weight)) f(name + leaf, weight);
      } else if constexpr (TensorLike<W>) {
        if (weight.count() > 0) f(name + leaf, weight);
      }
    };
    one(".weight", part.weight);
    if constexpr (requires { part.bias; }) one(".bias", part.bias);
  });
}

}  // namespace detail

namespace detail {

/// Returns the error in the tensors of one weight, if there is one.
template <class W>
std::optional<std::string> weight_problem(const W& weight, const std::string& name, const ShardedCheckpoint& files) {
  const TensorEntry* entry = files.find(name);
  const auto expected = extents_of(weight.shape());
  if (entry == nullptr) return name + ": missing; expected shape " + shape_text(expected);
  std::vector<std::int64_t> shape = entry->shape;
  try {
    if (const auto state = find_quant_state(files, name)) {
      if (!HoldsPacked<W>) return name + ": in 4 bits, which only linear layers may be here";
      check_packed(files, name, *state);
      if (state->shape == expected) return std::nullopt;
      shape = state->shape;
    }
  } catch (const FormatError& error) {
    return error.what();
  }
  if (shape != expected) return name + ": shape " + shape_text(shape) + ", expected " + shape_text(expected);
  if (entry->dtype != Dtype::f32 && entry->dtype != Dtype::f16 && entry->dtype != Dtype::bf16 &&
      entry->dtype != Dtype::f64)
    return name + ": dtype " + std::string(dtype_name(entry->dtype)) + ", expected F32, F16 or BF16";
  return std::nullopt;
}

/// Returns the weights to quantise: those of linear layers except the head.
template <class Model>
std::set<std::string> linear_weights(Model& model) {
  std::set<std::string> names;
  for (const auto& site : sites(model))
    if (site->kind == ModuleKind::linear) names.insert(site->name + ".weight");
  return names;
}

}  // namespace detail

/// Fills the weights of a shape-only model from an open checkpoint. If a model that is tied in config.json has a
/// separate head, the head is used, and the model is then no longer tied. The one weight of a tied model may have
/// either name, as in transformers 5.
/// \returns warnings
/// \throws FormatError that lists every tensor that is missing, extra, misshapen or not of floating point
template <class Model>
std::vector<std::string> read_llama_weights(Model& model, const ShardedCheckpoint& checkpoint,
                                            const LoadLlamaOptions& options = {}) {
  std::vector<std::string> warnings;
  if (model.config.tie_word_embeddings && detail::head_differs(checkpoint)) {
    model.separate_head();
    warnings.push_back(
        checkpoint.where() +
        ": the head is tied to the embedding in config.json (tie_word_embeddings), and lm_head.weight is "
        "another: it is used as it is, as in transformers 5");
  }
  const std::string table = "model.embed_tokens.weight", head = "lm_head.weight";
  const bool head_alone =
      model.config.tie_word_embeddings && checkpoint.find(table) == nullptr && checkpoint.find(head) != nullptr;
  const auto stored_name = [&](const std::string& name) { return head_alone && name == table ? head : name; };
  detail::ErrorList errors = detail::tensor_errors();
  std::set<std::string> known;
  detail::visit_base(model, [&](const std::string& of_model, auto& weight) {
    const std::string name = stored_name(of_model);
    known.insert(name);
    if (detail::has_quant_state(checkpoint, name)) {
      for (std::string& part : detail::packed_names(name)) known.insert(std::move(part));
    }
    if (auto problem = detail::weight_problem(weight, name, checkpoint)) errors.add(std::move(*problem));
  });
  for (const std::string& name : checkpoint.names()) {
    if (known.contains(name) || detail::is_frequencies(name)) continue;
    if (model.config.tie_word_embeddings && name == head) continue;  // equal to the embedding
    errors.add(name + ": the model has no such tensor");
  }
  errors.throw_if_any(
      checkpoint.where(),
      "The files belong to another config.json, or are incomplete: compare them with where they came from.");
  if (auto other = detail::frequency_warning(checkpoint, model.config); !other.empty())
    warnings.push_back(std::move(other));
  const std::set<std::string> linear = detail::linear_weights(model);
  detail::visit_base(model, [&](const std::string& of_model, auto& weight) {
    const std::string name = stored_name(of_model);
    const TensorEntry& entry = checkpoint.at(name);
    detail::read_any_weight(weight, name, checkpoint, model.device,
                            linear.contains(name) ? options.quantise : std::nullopt);
    checkpoint.forget(entry);
  });
  return warnings;
}

/// Reads a model.
/// \throws FormatError, IoError; ArgumentError when config.json has unsupported options
template <Backend B = Cpu, Real T = float>
AnyLlama<B, T> load_llama(const std::filesystem::path& folder, const LoadLlamaOptions& options, B device = {}) {
  const LlamaConfigFile file = read_llama_config(folder / "config.json");
  AnyLlama<B, T> model(file.config, std::move(device));
  read_llama_weights(model, ShardedCheckpoint(folder), options);
  return model;
}
template <Backend B = Cpu, Real T = float>
AnyLlama<B, T> load_llama(const std::filesystem::path& folder, B device = {}) {
  return load_llama<B, T>(folder, LoadLlamaOptions{}, std::move(device));
}

/// Returns the weights of the base as in a checkpoint: frozen ones in their storage type, trained ones in
/// `trained_dtype`. Adapters are not included; merge first.
template <class Model>
std::vector<detail::HostTensor> llama_tensors(Model& model, Dtype trained_dtype = Dtype::f32) {
  std::vector<detail::HostTensor> tensors;
  detail::visit_base(model, [&](const std::string& name, auto& weight) {
    with_stored(weight, [&](const auto& w) {
      if constexpr (ParameterLike<decltype(w)>) {
        tensors.push_back(detail::host_tensor_as(name, w.value(), trained_dtype));
      } else {
        detail::append_tensors(tensors, name, w);
      }
      return 0;
    });
  });
  return tensors;
}

/// Writes model.safetensors (one file) into an existing folder.
template <class Model>
void write_llama_weights(Model& model, const std::filesystem::path& folder, Dtype trained_dtype = Dtype::f32) {
  const auto tensors = llama_tensors(model, trained_dtype);
  write_safetensors(folder / "model.safetensors", detail::views(tensors), {{"format", "pt"}});
}

}  // namespace veneer
