// SPDX-License-Identifier: Apache-2.0
/// \file architecture.hpp
/// The names of the parts of a model in llama.cpp: the architecture, the keys of its sizes, and the tensors.
///
///   model.layers.3.self_attn.q_proj.weight   ->   blk.3.attn_q.weight
/// The architecture `llama` of llama.cpp rotates adjacent features, while Hugging Face rotates features of the two
/// halves. So the rows of q and k (weight, bias, lora_B) are reordered within each head of h rows, d = 0 .. h/2 - 1, s
/// = 0, 1:
///
///   new row  n h + 2 d + s   =   old row  n h + s h/2 + d
/// Qwen models rotate halves in llama.cpp as well and keep their rows. A wrong order gives a wrong model without a
/// message. Source: ggml-org/llama.cpp, src/llama-arch.cpp, src/llama-model.cpp, conversion/llama.py (`permute`).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/gguf/types.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/nn/llama_config.hpp"

namespace veneer {

/// The place of a tensor in a GGUF file.
struct GgufPlace {
  std::string name;      // without .weight or .bias
  bool rotates = false;  // q or k: its rows are reordered for the architecture llama
};

namespace detail {

struct GgufModule {
  std::string_view from, to;
  bool rotates = false;
};

inline constexpr std::array<GgufModule, 11> gguf_layer_modules{{{"self_attn.q_proj", "attn_q", true},
                                                                {"self_attn.k_proj", "attn_k", true},
                                                                {"self_attn.v_proj", "attn_v"},
                                                                {"self_attn.o_proj", "attn_output"},
                                                                {"self_attn.q_norm", "attn_q_norm"},
                                                                {"self_attn.k_norm", "attn_k_norm"},
                                                                {"mlp.gate_proj", "ffn_gate"},
                                                                {"mlp.up_proj", "ffn_up"},
                                                                {"mlp.down_proj", "ffn_down"},
                                                                {"input_layernorm", "attn_norm"},
                                                                {"post_attention_layernorm", "ffn_norm"}}};
inline constexpr std::array<GgufModule, 3> gguf_outer_modules{
    {{"model.embed_tokens", "token_embd"}, {"model.norm", "output_norm"}, {"lm_head", "output"}}};

/// Returns the row of a Hugging Face projection that becomes row `row` in llama.cpp's architecture llama.
constexpr std::int64_t rotated_row(std::int64_t row, std::int64_t head) {
  const std::int64_t inside = row % head;
  return row - inside + inside % 2 * (head / 2) + inside / 2;
}
static_assert(rotated_row(0, 8) == 0 && rotated_row(1, 8) == 4 && rotated_row(2, 8) == 1 && rotated_row(15, 8) == 15);

}  // namespace detail

/// Returns the place of a module in llama.cpp, or nullopt for a module that llama.cpp does not have.
inline std::optional<GgufPlace> find_gguf_place(std::string_view module) {
  for (const auto& [from, to, rotates] : detail::gguf_outer_modules)
    if (module == from) return GgufPlace{std::string(to), rotates};
  constexpr std::string_view layers = "model.layers.";
  const std::size_t dot = module.find('.', layers.size());
  if (!module.starts_with(layers) || dot == std::string_view::npos) return std::nullopt;
  const std::string_view number = module.substr(layers.size(), dot - layers.size()), rest = module.substr(dot + 1);
  for (const auto& [from, to, rotates] : detail::gguf_layer_modules)
    if (rest == from) return GgufPlace{"blk." + std::string(number) + "." + std::string(to), rotates};
  return std::nullopt;
}

/// Returns the architecture of llama.cpp for a model: llama, qwen2, qwen3.
/// \throws ArgumentError for another architecture
inline std::string gguf_architecture(const LlamaConfig& config) {
  if (config.model_type == "llama" || config.model_type == "mistral") return "llama";
  if (config.model_type == "qwen2" || config.model_type == "qwen3") return config.model_type;
  throw ArgumentError(
      "export to GGUF: the model type \"" + printable(config.model_type) +
      "\" is not supported; llama, mistral, qwen2 and qwen3 are. export --to merged writes a folder that "
      "llama.cpp's convert_hf_to_gguf.py reads");
}

namespace detail {

/// Throws for a tensor that llama.cpp's architecture does not have: the file would not load.
inline void check_gguf_tensor(const std::string& architecture, const std::string& name) {
  const bool bias = name.ends_with(".bias");
  const bool attention_bias =
      name.ends_with("attn_q.bias") || name.ends_with("attn_k.bias") || name.ends_with("attn_v.bias");
  const bool head_norm = name.find("attn_q_norm") != std::string::npos || name.find("attn_k_norm") != std::string::npos;
  const bool known = (!bias || architecture == "llama" || (architecture == "qwen2" && attention_bias)) &&
                     (!head_norm || architecture == "qwen3");
  expects(known, "export to GGUF: llama.cpp's architecture " + architecture + " has no tensor " + name +
                     ": the model cannot be computed there");
}

/// Throws for a config that llama.cpp would silently compute differently.
inline void check_gguf_config(const LlamaConfig& config) {
  const std::string architecture = gguf_architecture(config);
  const auto limited = std::find_if(config.window.begin(), config.window.end(), [&](index_t window) {
    return window != 0 && window < config.max_position_embeddings;
  });
  if (limited != config.window.end()) {
    throw ArgumentError(
        "export to GGUF: sliding_window " + std::to_string(*limited) + ": llama.cpp's architecture " + architecture +
        " attends to all tokens, and texts longer than the window would silently be computed differently. For shorter "
        "texts set \"sliding_window\" to null and \"max_position_embeddings\" to at most " +
        std::to_string(*limited) + " in config.json");
  }
  const RopeConfig& rope = config.rope;
  expects(rope.type != "llama3" || architecture == "llama",
          "export to GGUF: rope_type llama3: llama.cpp reads rope_freqs in its architecture llama only, not in " +
              architecture);
  if (rope.type != "yarn") return;
  const double usual = rope.factor <= 1 ? 1.0 : 0.1 * std::log(rope.factor) + 1.0;
  expects(rope.truncate && std::fabs(attention_factor(config) - usual) < 1e-6,
          "export to GGUF: yarn with attention_factor, mscale or truncate other than the default: llama.cpp has no key "
          "for it");
}

/// Returns the divisors of the rotary frequencies of rope_type llama3, which llama.cpp reads from a tensor instead
/// of a key.
inline std::vector<float> gguf_rope_divisors(const LlamaConfig& config) {
  LlamaConfig plain = config;
  plain.rope.type = "default";
  const std::vector<float> scaled = inverse_frequencies(config);
  std::vector<float> divisors = inverse_frequencies(plain);
  for (std::size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled[i];
  return divisors;
}

inline void append_rope_keys(std::vector<GgufKey>& keys, const std::string& prefix, const RopeConfig& rope) {
  keys.push_back({prefix + "rope.freq_base", static_cast<float>(rope.theta)});
  if (rope.type != "linear" && rope.type != "yarn") return;
  keys.push_back({prefix + "rope.scaling.type", rope.type});
  keys.push_back({prefix + "rope.scaling.factor", static_cast<float>(rope.factor)});
  if (rope.type != "yarn") return;
  const auto original = static_cast<std::uint32_t>(rope.original_max_position_embeddings);
  keys.push_back({prefix + "rope.scaling.original_context_length", original});
  keys.push_back({prefix + "rope.scaling.yarn_beta_fast", static_cast<float>(rope.beta_fast)});
  keys.push_back({prefix + "rope.scaling.yarn_beta_slow", static_cast<float>(rope.beta_slow)});
}

}  // namespace detail

/// Returns general.file_type, the number of a file's main element type.
inline std::uint32_t gguf_file_type(GgmlType type) {
  switch (type) {
    case GgmlType::f16: return 1;
    case GgmlType::q8_0: return 7;
    case GgmlType::bf16: return 32;
    default: return 0;
  }
}

/// Returns the keys of a model's sizes and options.
/// \throws ArgumentError for an architecture or an option that llama.cpp lacks, or would ignore
inline std::vector<GgufKey> gguf_model_keys(const LlamaConfig& config, const std::string& name, GgmlType type) {
  detail::check_gguf_config(config);
  const std::string architecture = gguf_architecture(config), prefix = architecture + ".";
  const auto count = [](index_t value) { return static_cast<std::uint32_t>(value); };
  std::vector<GgufKey> keys{{"general.architecture", architecture},
                            {"general.type", std::string("model")},
                            {"general.name", name},
                            {"general.file_type", gguf_file_type(type)},
                            {"general.quantization_version", std::uint32_t{2}},
                            {prefix + "block_count", count(config.num_hidden_layers)},
                            {prefix + "context_length", count(config.max_position_embeddings)},
                            {prefix + "embedding_length", count(config.hidden_size)},
                            {prefix + "feed_forward_length", count(config.intermediate_size)},
                            {prefix + "attention.head_count", count(config.num_attention_heads)},
                            {prefix + "attention.head_count_kv", count(config.num_key_value_heads)},
                            {prefix + "attention.key_length", count(config.head_dim)},
                            {prefix + "attention.value_length", count(config.head_dim)},
                            {prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps)},
                            {prefix + "vocab_size", count(config.vocab_size)}};
  if (architecture != "qwen3") keys.push_back({prefix + "rope.dimension_count", count(config.head_dim)});
  detail::append_rope_keys(keys, prefix, config.rope);
  return keys;
}

}  // namespace veneer
