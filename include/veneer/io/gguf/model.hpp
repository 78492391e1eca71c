// SPDX-License-Identifier: Apache-2.0
/// \file model.hpp
/// write_gguf_model(model, path, keys, options): writes a model with its adapter merged as one GGUF file for llama.cpp.
///
///   w <- round(w + s B A)   in the element type of the file; weights are computed, written and released one by one
/// Matrices are written in `type`, norms and biases in F32, which llama.cpp requires. The sum is rounded once, whatever
/// the storage type of w; 4-bit weights are decoded. A tied head whose embedding is adapted becomes a separate tensor,
/// since the adapter changes the input of the model but not its head.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/io/gguf/architecture.hpp"
#include "veneer/io/gguf/encode.hpp"
#include "veneer/io/gguf/writer.hpp"
#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/peft/merge.hpp"

namespace veneer {

struct GgufModelOptions {
  GgmlType type = GgmlType::f16;  // of matrices
  std::string name{};             // general.name
};

namespace detail {

/// A tensor whose values are computed when it is written.
struct GgufValues {
  std::string name;  // with .weight or .bias
  std::vector<std::int64_t> shape;
  std::function<HostTensor()> values;  // F32
  bool rotates = false;
};

/// Returns all tensors of a model in its own order, before any computation.
/// \throws ArgumentError for a module that llama.cpp does not have
template <class Model>
std::vector<GgufValues> gguf_values(Model& model) {
  const std::string architecture = gguf_architecture(model.config);
  std::vector<GgufValues> all;
  const auto list = sites(model);
  visit(model, [&](const std::string& name, auto& part) {
    if constexpr (WeightedModule<std::remove_cvref_t<decltype(part)>>) {
      if (!present(part.weight)) return;
      const auto place = find_gguf_place(name);
      expects(place.has_value(), "export to GGUF: llama.cpp's architecture " + architecture + " has no " + name);
      const auto put = [&](const char* leaf, const auto& shape, auto values) {
        check_gguf_tensor(architecture, place->name + leaf);
        const auto held = [values] { return host_tensor(std::string(), convert<float>(values())); };
        all.push_back({place->name + leaf, extents_of(shape), held, place->rotates && architecture == "llama"});
      };
      auto site = find_site(list, name);
      if (site != nullptr && !site->adapted()) site = nullptr;
      const auto put_either = [&](const char* leaf, const auto& own, auto of_site) {
        put(leaf, own.shape(), [=] {
          using Values = std::remove_const_t<decltype(dense_values(own))>;
          if constexpr (std::is_constructible_v<Values, decltype(of_site(*site))>) {
            if (site != nullptr) return Values(of_site(*site));
          }
          return Values(dense_values(own));  // of a layer without an adapter, or of a norm
        });
      };
      const auto merged = [](const auto& adapted) {
        return merged_values(adapted, bias_values(adapted.bias()), {.dequantize = QuantizedFrom::float32});
      };
      put_either(".weight", part.weight, [merged](const auto& adapted) { return merged(adapted).weight; });
      if constexpr (BiasedModule<std::remove_cvref_t<decltype(part)>>) {
        if (present(part.bias))
          put_either(".bias", part.bias, [merged](const auto& adapted) { return merged(adapted).bias; });
      }
    }
  });
  return all;
}

/// Encodes rows, in the order of llama.cpp if `head` is not 0.
inline void write_ggml_rows(const HostTensor& tensor, GgmlType type, std::int64_t head, const GgufSink& sink) {
  const auto& shape = tensor.view.shape;
  const std::int64_t columns = shape.size() == 1 ? (head != 0 ? 1 : shape[0]) : shape.back();
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  const auto* values = static_cast<const float*>(tensor.view.data);
  std::string bytes;
  for (std::int64_t row = 0; row < count / columns; ++row) {
    const std::int64_t from = head == 0 ? row : rotated_row(row, head);
    append_ggml_row(bytes, type, {values + from * columns, static_cast<std::size_t>(columns)});
    if (bytes.size() < std::size_t{1} << 20) continue;
    sink(bytes);
    bytes.clear();
  }
  sink(bytes);
}

/// Returns the element type of a tensor: F32 for vectors, F16 for rows that are not a multiple of a block.
inline GgmlType gguf_tensor_type(const std::vector<std::int64_t>& shape, GgmlType wanted) {
  if (shape.size() == 1) return GgmlType::f32;
  const bool blocks = static_cast<std::uint64_t>(shape.back()) % ggml_layout(wanted).block == 0;
  return blocks ? wanted : GgmlType::f16;
}

/// Returns a tensor of a file with these values; errors name it.
inline GgufTensor gguf_tensor(GgufValues values, GgmlType type, std::int64_t head) {
  const auto write = [values, type, head](const GgufSink& sink) {
    try {
      write_ggml_rows(values.values(), type, values.rotates ? head : 0, sink);
    } catch (const ArgumentError& error) {
      throw ArgumentError("export to GGUF: " + values.name + ": " + error.what());
    }
  };
  return {values.name, type, values.shape, write};
}

inline GgufTensor gguf_rope_tensor(const LlamaConfig& config) {
  const std::vector<float> divisors = gguf_rope_divisors(config);
  const auto write = [divisors](const GgufSink& sink) {
    std::string bytes;
    append_ggml_row(bytes, GgmlType::f32, divisors);
    sink(bytes);
  };
  return {"rope_freqs.weight", GgmlType::f32, {static_cast<std::int64_t>(divisors.size())}, write};
}

}  // namespace detail

/// Writes a model with its adapter merged. The model is not changed.
/// \param keys  further keys: those of the tokenizer, without which llama.cpp does not open a file
/// \throws ArgumentError, before anything is written, if llama.cpp lacks a tensor or key; for values that
///         `type` cannot represent, without leaving a file; IoError, DiskError
template <class Model>
void write_gguf_model(const Model& model, const std::filesystem::path& path, const std::vector<GgufKey>& keys,
                      const GgufModelOptions& options = {}) {
  std::vector<GgufKey> all = gguf_model_keys(model.config, options.name, options.type);
  all.insert(all.end(), keys.begin(), keys.end());
  Model written = model;  // handles
  for (const auto& site : sites(written))
    if (site->kind != ModuleKind::linear && site->adapted()) written.untie();
  std::vector<GgufTensor> tensors;
  if (model.config.rope.type == "llama3") tensors.push_back(detail::gguf_rope_tensor(model.config));
  for (detail::GgufValues& values : detail::gguf_values(written)) {
    const GgmlType type = detail::gguf_tensor_type(values.shape, options.type);
    tensors.push_back(detail::gguf_tensor(std::move(values), type, model.config.head_dim));
  }
  write_gguf(path, all, tensors);
}

}  // namespace veneer
