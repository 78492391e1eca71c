// SPDX-License-Identifier: Apache-2.0
/// \file adapter.hpp
/// write_gguf_adapter(model, path, config, plan): writes LoRA as a GGUF file for llama.cpp's --lora.
///
///   T.lora_a  (r, in)    T.lora_b  (out, r)    for each adapted tensor T; of the embedding, lora_a is A transposed
/// llama.cpp multiplies by adapter.lora.alpha / r, where r is the rank of the tensors, and has one alpha per file. If
/// all modules have the same alpha and no rsLoRA, the matrices are written unchanged. Otherwise alpha is omitted, which
/// makes the factor 1, and each lora_b is multiplied by the scale s of its module (rsLoRA, patterns, AdaLoRA). Rows of
/// lora_b of q and k are reordered like those of the base (veneer/io/gguf/architecture.hpp).
/// Source: ggml-org/llama.cpp, src/llama-adapter.cpp, src/llama-adapter.h (`get_scale`).
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/io/gguf/model.hpp"
#include "veneer/peft/fold.hpp"

namespace veneer {

namespace detail {

[[noreturn]] inline void refuse_gguf_adapter(const std::string& what, const std::string& advice = "") {
  throw ArgumentError("export --to gguf-adapter: " + what + ". " +
                      (advice.empty() ? "export --to gguf writes the model with the adapter merged" : advice));
}

/// Throws for an adapter that a LoRA file of llama.cpp cannot represent.
inline void check_gguf_adapter(const LlamaConfig& model, const AdapterConfig& config, const AdapterPlan& plan) {
  const std::string method = with_method(config, [](const auto& own) { return std::string(own.name); });
  if (!std::holds_alternative<Lora>(config.method) && !std::holds_alternative<AdaLora>(config.method))
    refuse_gguf_adapter("llama.cpp supports only LoRA, and this is " + method);
  if (config.use_dora)
    refuse_gguf_adapter("DoRA scales the rows of the weight (lora_magnitude_vector), which llama.cpp does not support");
  if (config.lora_bias) refuse_gguf_adapter("lora_bias: llama.cpp does not support a bias of lora_B");
  if (config.bias != LoraBias::none) refuse_gguf_adapter("bias: llama.cpp reads no trained biases from an adapter");
  if (config.fan_in_fan_out) refuse_gguf_adapter("fan_in_fan_out: llama.cpp expects weights as (out, in)");
  if (config.trainable_token_indices)
    refuse_gguf_adapter("trainable_token_indices replaces rows of the embedding, but llama.cpp only adds matrices");
  if (!plan.trained.empty())
    refuse_gguf_adapter(plan.trained.front().name +
                        " was trained in full (modules_to_save, biases or norms), and "
                        "llama.cpp reads only lora_A and lora_B, or ignores it");
  for (const AdaptedModule& module : plan.modules) {
    if (!model.tie_word_embeddings) continue;
    if (module.name.ends_with("embed_tokens"))
      refuse_gguf_adapter(
          "the embedding is adapted and tied to the head: llama.cpp fails an assertion at the first token");
    if (module.name.ends_with("lm_head"))
      refuse_gguf_adapter(
          "lm_head is adapted and tied to the embedding: the base file of llama.cpp has no output.weight");
  }
}

/// Returns a matrix of a LoRA file, optionally transposed or scaled.
template <Real T, Backend B>
GgufValues gguf_factor(std::string name, const Matrix<T, B>& matrix, bool transposed, double factor, bool rotates) {
  const index_t rows = matrix.extent(0), columns = matrix.extent(1);
  const std::vector<T> from = to_host(matrix);
  const auto values = std::make_shared<std::vector<float>>(from.size());
  for (index_t r = 0; r < rows; ++r) {
    for (index_t c = 0; c < columns; ++c) {
      const auto to = static_cast<std::size_t>(transposed ? c * rows + r : r * columns + c);
      const auto value = static_cast<double>(from[static_cast<std::size_t>(r * columns + c)]);
      (*values)[to] = static_cast<float>(factor == 1.0 ? value : factor * value);
    }
  }
  const std::vector<std::int64_t> shape =
      transposed ? std::vector<std::int64_t>{columns, rows} : std::vector<std::int64_t>{rows, columns};
  return {name, shape, [=] { return HostTensor{{name, Dtype::f32, shape, values->data()}, values}; }, rotates};
}

/// Returns whether one alpha gives the scale of all modules.
inline bool has_one_alpha(const AdapterConfig& config, const AdapterPlan& plan) {
  const double alpha = plan.modules.front().alpha;
  return std::holds_alternative<Lora>(config.method) && !config.use_rslora && alpha != 0 &&
         std::all_of(plan.modules.begin(), plan.modules.end(),
                     [&](const AdaptedModule& module) { return module.alpha == alpha; });
}

}  // namespace detail

/// A report of the written file: the modules, and whether lora_b includes their scales.
struct GgufAdapterReport {
  std::size_t modules = 0;
  bool folded = false;
};

/// Writes the adapter of a model, which may be shape-only. The model is not changed.
/// \param type  F32 or F16; others lose too much in llama.cpp
/// \throws ArgumentError, before anything is written, for an adapter that such a file cannot
/// represent; IoError, DiskError
template <class Model>
GgufAdapterReport write_gguf_adapter(const Model& model, const std::filesystem::path& path, const AdapterConfig& config,
                                     const AdapterPlan& plan, GgmlType type = GgmlType::f32) {
  expects(type == GgmlType::f32 || type == GgmlType::f16,
          "export --to gguf-adapter: --outtype f32 or f16: llama.cpp computes in the type of the factors, and bf16 "
          "loses two digits; q8_0 needs ranks that are multiples of 32");
  detail::check_gguf_config(model.config);
  detail::check_gguf_adapter(model.config, config, plan);
  expects(!plan.modules.empty(), "export --to gguf-adapter: the adapter adapts no module");
  detail::expect_plain_base(config, "export --to gguf-adapter");
  const std::string architecture = gguf_architecture(model.config);
  GgufAdapterReport report{0, !detail::has_one_alpha(config, plan)};
  std::vector<GgufTensor> tensors;
  Model read = model;  // handles
  for (const auto& site : sites(read)) {
    if (!site->adapted()) continue;
    const std::string& name = site->name;
    const auto place = find_gguf_place(name);
    expects(place.has_value(),
            "export --to gguf-adapter: llama.cpp's architecture " + architecture + " has no " + name);
    const auto term =
        detail::low_rank_term(*site, "export --to gguf-adapter: the adapter of " + name + " is not low-rank");
    if (term.rank() == 0) continue;  // llama.cpp refuses a pair of rank 0, which has no effect
    const std::string weight = place->name + ".weight";
    const double factor = report.folded ? term.scaling : 1.0;
    const bool rotates = place->rotates && architecture == "llama";
    const auto put = [&](detail::GgufValues values) {
      tensors.push_back(detail::gguf_tensor(std::move(values), type, model.config.head_dim));
    };
    put(detail::gguf_factor(weight + ".lora_a", term.down, site->kind == ModuleKind::embedding, 1.0, false));
    put(detail::gguf_factor(weight + ".lora_b", term.up, false, factor, rotates));
    ++report.modules;
  }
  expects(!tensors.empty(), "export --to gguf-adapter: all modules have rank 0: the adapter changes nothing");
  std::vector<GgufKey> keys{{"general.architecture", architecture},
                            {"general.type", std::string("adapter")},
                            {"adapter.type", std::string("lora")}};
  if (!report.folded) keys.push_back({"adapter.lora.alpha", static_cast<float>(plan.modules.front().alpha)});
  write_gguf(path, keys, tensors);
  return report;
}

}  // namespace veneer
