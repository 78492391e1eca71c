// SPDX-License-Identifier: Apache-2.0
/// \file llama_config.hpp
/// The sizes and options of a dense decoder, and derived quantities: rotary frequencies, parameter count. The options
/// are the differences between the families of docs/families.md; the defaults are those of Llama.
///
///     angle[t, i] = t * f_i,   f_i = theta^(-2 i / d),   i = 0 .. d/2 - 1,   d = partial_rotary_factor * head_dim
///     linear:  f / factor
///     llama3:  long waves f / factor, short ones f, interpolated between (Llama 3.1 model card)
///     yarn:    f / factor and f interpolated over i; cos, sin times a factor (arXiv:2309.00071, sections 3.2, 3.4)
///     longrope:    f / factor_i; the factors of a sequence depend on whether it is longer than those of the original
///              training; cos, sin times a factor (arXiv:2402.13753, section 3)
/// Computed in float as transformers does (src/transformers/modeling_rope_utils.py), so that the last bits agree.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "veneer/backend/operand.hpp"
#include "veneer/core/checked.hpp"
#include "veneer/core/error.hpp"
#include "veneer/core/shape.hpp"

namespace veneer {

/// The rotary embedding: the map from positions to angles. Fields that a type does not use keep their defaults.
struct RopeConfig {
  std::string type = "default";  // default, linear, llama3, yarn, longrope
  double theta = 10000;
  double partial_rotary_factor = 1;  // fraction of the features of a head that are rotated
  double factor = 1;
  index_t original_max_position_embeddings = 0;  // llama3, yarn, longrope: positions of the original training
  double low_freq_factor = 1;                    // llama3
  double high_freq_factor = 4;                   // llama3
  double beta_fast = 32;                         // yarn
  double beta_slow = 1;                          // yarn
  std::optional<double> attention_factor{};      // yarn, longrope: replaces the one computed from `factor`
  std::optional<double> mscale{};                // yarn: together with mscale_all_dim
  std::optional<double> mscale_all_dim{};
  bool truncate = true;                // yarn: whole indices as the ends of the ramp
  std::vector<double> short_factor{};  // longrope: one per frequency
  std::vector<double> long_factor{};   // longrope: of sequences of more than original_max_position_embeddings tokens

  bool operator==(const RopeConfig&) const = default;
};

enum class Activation { silu, gelu_tanh };

/// The placement of norms in a block: the inputs of attention and mlp, their outputs, or both.
enum class NormPlacement { before, after, both };

/// Norms of queries and keys: none, one weight of (head_dim) for all heads, or one over the whole projection.
enum class QkNorm { none, per_head, whole };

/// The rotary embedding of a layer: none, `rope`, or `local_rope`.
enum class LayerRope { none, global, local };

/// The configuration of a model; families differ only in these values.
struct LlamaConfig {
  index_t vocab_size = 0;
  index_t hidden_size = 0;
  index_t intermediate_size = 0;
  index_t num_hidden_layers = 0;
  index_t num_attention_heads = 0;
  index_t num_key_value_heads = 0;
  index_t head_dim = 0;
  index_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  RopeConfig rope{};
  std::optional<RopeConfig> local_rope{};  // of layers with LayerRope::local
  std::vector<LayerRope> layer_rope{};     // per layer; empty: `rope` in all
  std::vector<index_t> window{};           // per layer: visible keys per query, including itself; 0: all previous ones

  NormPlacement norms = NormPlacement::before;
  QkNorm qk_norm = QkNorm::none;
  double norm_offset = 0;  // added to the weight of every norm
  Activation activation = Activation::silu;
  bool fused_projections = false;           // qkv_proj and gate_up_proj
  double embedding_multiplier = 1;          // of the embedded tokens
  double residual_multiplier = 1;           // of the residual branches
  std::optional<double> attention_scale{};  // of the scores; none: 1 / sqrt(head_dim)
  double logits_divisor = 1;

  std::vector<index_t> bos_token_ids{};
  std::vector<index_t> eos_token_ids{};
  std::optional<index_t> pad_token_id{};
  double initializer_range = 0.02;
  std::string model_type = "llama";               // the family
  std::string architecture = "LlamaForCausalLM";  // the class of transformers
  std::string dtype = "float32";                  // of the checkpoint, by transformers' name

  bool operator==(const LlamaConfig&) const = default;
};

namespace detail {

inline void check_sizes(const LlamaConfig& config) {
  struct Named {
    const char* name;
    index_t value;
  };
  const std::array<Named, 8> sizes{{{"vocab_size", config.vocab_size},
                                    {"hidden_size", config.hidden_size},
                                    {"intermediate_size", config.intermediate_size},
                                    {"num_hidden_layers", config.num_hidden_layers},
                                    {"num_attention_heads", config.num_attention_heads},
                                    {"num_key_value_heads", config.num_key_value_heads},
                                    {"head_dim", config.head_dim},
                                    {"max_position_embeddings", config.max_position_embeddings}}};
  for (const Named& size : sizes) {
    expects(size.value >= 1 && size.value <= index_t{1} << 30,
            std::string(size.name) + ": found " + std::to_string(size.value) + ", expected 1 to 2^30");
  }
  expects(config.num_hidden_layers <= 10000,
          "num_hidden_layers: found " + std::to_string(config.num_hidden_layers) + ", expected at most 10000");
}

inline void check_rope(const RopeConfig& rope) {
  const auto positive = [](double value, const char* name) {
    expects(value > 0 && value < 1e30,  // below the largest float; false for NaN
            std::string(name) + ": expected a number above 0, found " + std::to_string(value));
  };
  const bool llama3 = rope.type == "llama3";
  const bool yarn = rope.type == "yarn";
  const bool longrope = rope.type == "longrope";
  expects(rope.type == "default" || rope.type == "linear" || llama3 || yarn || longrope,
          "rope_type: \"" + rope.type + "\" is not supported; default, linear, llama3, yarn and longrope are");
  positive(rope.theta, "rope_theta");
  positive(rope.factor, "rope factor");
  if (llama3) positive(rope.low_freq_factor, "low_freq_factor");
  if (llama3)
    expects(rope.high_freq_factor > rope.low_freq_factor, "high_freq_factor: expected more than low_freq_factor");
  if (llama3 || yarn || longrope)
    expects(rope.original_max_position_embeddings >= 1, "original_max_position_embeddings: expected at least 1");
  positive(rope.attention_factor.value_or(1), "attention_factor");
  for (const double factor : rope.short_factor) positive(factor, "short_factor");
  for (const double factor : rope.long_factor) positive(factor, "long_factor");
  if (!yarn) return;
  positive(rope.beta_fast, "beta_fast");
  positive(rope.beta_slow, "beta_slow");
  expects(rope.theta > 1, "rope_theta: yarn needs more than 1");
}

inline void check_options(const LlamaConfig& config) {
  expects(config.layer_rope.empty() || config.layer_rope.size() == static_cast<std::size_t>(config.num_hidden_layers),
          "layer_rope: expected one entry per layer, found " + std::to_string(config.layer_rope.size()));
  const bool local =
      std::find(config.layer_rope.begin(), config.layer_rope.end(), LayerRope::local) != config.layer_rope.end();
  expects(!local || config.local_rope.has_value(), "layer_rope: a layer is local, but there is no local_rope");
  expects(std::isfinite(config.embedding_multiplier) && std::isfinite(config.residual_multiplier) &&
              std::isfinite(config.attention_scale.value_or(1)) && std::isfinite(config.logits_divisor) &&
              config.logits_divisor != 0,
          "embedding, residual, attention and logits multipliers: expected finite numbers, and logits_scaling not 0");
}

}  // namespace detail

/// Returns the sets of frequencies of a model: `rope`, and `local_rope` if there is one.
inline std::vector<RopeConfig> rope_configs(const LlamaConfig& config) {
  if (config.local_rope) return {config.rope, *config.local_rope};
  return {config.rope};
}

/// Returns the number of rotated features of a head.
inline index_t rotary_dim(const LlamaConfig& config, const RopeConfig& rope) {
  return static_cast<index_t>(static_cast<double>(config.head_dim) * rope.partial_rotary_factor);
}

/// Checks that the values are valid and consistent. Throws `ArgumentError` with the name of the value.
inline void check(const LlamaConfig& config) {
  detail::check_sizes(config);
  for (const RopeConfig& rope : rope_configs(config)) {
    detail::check_rope(rope);
    const index_t turning = rotary_dim(config, rope);
    expects(turning % 2 == 0 && turning >= 2 && turning <= config.head_dim,
            (rope.partial_rotary_factor == 1 ? "head_dim: found " : "partial_rotary_factor: the part of head_dim is ") +
                std::to_string(turning) + ", expected an even number: rotary embeddings rotate pairs");
    const std::size_t factors = rope.type == "longrope" ? static_cast<std::size_t>(turning / 2) : 0;
    expects(rope.short_factor.size() == factors && rope.long_factor.size() == factors,
            "short_factor, long_factor: expected " + std::to_string(factors) + " numbers each, found " +
                std::to_string(rope.short_factor.size()) + " and " + std::to_string(rope.long_factor.size()));
  }
  expects(config.num_attention_heads % config.num_key_value_heads == 0,
          "num_key_value_heads: " + std::to_string(config.num_attention_heads) + " query heads can't share " +
              std::to_string(config.num_key_value_heads) + " key/value heads evenly");
  expects(std::isfinite(config.rms_norm_eps) && config.rms_norm_eps > 0, "rms_norm_eps: expected a number above 0");
  expects(config.window.size() == static_cast<std::size_t>(config.num_hidden_layers),
          "window: expected one entry per layer, found " + std::to_string(config.window.size()));
  expects(std::all_of(config.window.begin(), config.window.end(), [](index_t window) { return window >= 0; }),
          "sliding_window: expected at least 1, or null");
  detail::check_options(config);
}

namespace detail {

/// Returns theta^(2 i / d) with the roundings of transformers: the exponent and the power are floats.
inline std::vector<float> rope_powers(const RopeConfig& rope, index_t dimension) {
  std::vector<float> powers(static_cast<std::size_t>(dimension / 2));
  for (std::size_t i = 0; i < powers.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dimension);
    powers[i] = static_cast<float>(
        std::pow(static_cast<double>(static_cast<float>(rope.theta)), static_cast<double>(exponent)));
  }
  return powers;
}

inline float llama3_frequency(float frequency, const RopeConfig& rope) {
  const auto factor = static_cast<float>(rope.factor);
  const auto positions = static_cast<float>(rope.original_max_position_embeddings);
  const auto low = static_cast<float>(rope.low_freq_factor);
  const auto high = static_cast<float>(rope.high_freq_factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  if (wavelength > positions / low) return frequency / factor;
  if (wavelength < positions / high) return frequency;
  const float blend = (positions / wavelength - low) / (high - low);
  return (1 - blend) * frequency / factor + blend * frequency;
}

/// The ends of the ramp of yarn, as indices of frequencies.
struct YarnRange {
  double low;
  double high;
};
inline YarnRange yarn_range(const RopeConfig& rope, double dimension) {
  const auto index_of = [&](double rotations) {
    const double waves =
        static_cast<double>(rope.original_max_position_embeddings) / (rotations * 2 * std::numbers::pi);
    return dimension * std::log(waves) / (2 * std::log(rope.theta));
  };
  double low = index_of(rope.beta_fast);
  double high = index_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dimension - 1);
  return {low, low == high ? high + 0.001 : high};  // as transformers avoids the division by 0
}

inline float yarn_frequency(float power, std::size_t i, YarnRange range, double factor) {
  const float ramp = std::clamp(
      (static_cast<float>(i) - static_cast<float>(range.low)) / static_cast<float>(range.high - range.low), 0.0f, 1.0f);
  const float keep = 1 - ramp;
  return 1 / (static_cast<float>(factor) * power) * (1 - keep) + 1 / power * keep;
}

}  // namespace detail

/// Returns the frequencies of a rotary embedding, (rotary_dim / 2), in radians per position. Throws `ArgumentError` on
/// an unknown rope type.
/// \param longer  longrope: the factors of long sequences
inline std::vector<float> inverse_frequencies(const LlamaConfig& config, const RopeConfig& rope, bool longer = false) {
  detail::check_rope(rope);
  const index_t dimension = rotary_dim(config, rope);
  std::vector<float> out = detail::rope_powers(rope, dimension);
  if (rope.type == "yarn") {
    const detail::YarnRange range = detail::yarn_range(rope, static_cast<double>(dimension));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = detail::yarn_frequency(out[i], i, range, rope.factor);
    return out;
  }
  if (rope.type == "longrope") {
    const std::vector<double>& factors = longer ? rope.long_factor : rope.short_factor;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = 1 / (static_cast<float>(factors.at(i)) * out[i]);
    return out;
  }
  for (float& value : out) {
    value = 1 / value;
    if (rope.type == "linear") value /= static_cast<float>(rope.factor);
    if (rope.type == "llama3") value = detail::llama3_frequency(value, rope);
  }
  return out;
}
inline std::vector<float> inverse_frequencies(const LlamaConfig& config) {
  return inverse_frequencies(config, config.rope);
}

/// Returns whether a sequence of this length uses the factors of long sequences. Keys of the two kinds must
/// not be mixed.
inline bool long_sequence(const RopeConfig& rope, index_t tokens) {
  return rope.type == "longrope" && tokens > rope.original_max_position_embeddings;
}

/// Returns the factor of cos and sin of the rotary embedding: 1, except for yarn and longrope.
inline double attention_factor(const RopeConfig& rope) {
  if (rope.type != "yarn" && rope.type != "longrope") return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.type == "longrope") {
    if (rope.factor <= 1) return 1;
    return std::sqrt(1 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_max_position_embeddings)));
  }
  const auto scale = [&](double mscale) { return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0; };
  if (rope.mscale.value_or(0) != 0 && rope.mscale_all_dim.value_or(0) != 0)
    return scale(*rope.mscale) / scale(*rope.mscale_all_dim);
  return scale(1);
}
inline double attention_factor(const LlamaConfig& config) { return attention_factor(config.rope); }

/// Returns the number of parameters, counting tied embeddings once. Throws `OverflowError` if it exceeds 64 bits.
inline index_t parameter_count(const LlamaConfig& config) {
  using Count = Checked<std::uint64_t>;
  const auto count = [](index_t value) { return Count::from(value); };
  const Count hidden = count(config.hidden_size);
  const Count query = count(config.num_attention_heads) * count(config.head_dim);
  const Count key = count(config.num_key_value_heads) * count(config.head_dim);
  const Count inner = count(config.intermediate_size);
  Count layer = Count(config.norms == NormPlacement::both ? 4 : 2) * hidden;  // norms
  if (config.qk_norm == QkNorm::per_head) layer += Count(2) * count(config.head_dim);
  if (config.qk_norm == QkNorm::whole) layer += query + key;
  layer += hidden * (Count(2) * query + Count(2) * key);  // q, k, v, o
  layer += Count(3) * hidden * inner;                     // gate, up, down
  if (config.qkv_bias) layer += query + Count(2) * key;
  if (config.o_bias) layer += hidden;
  if (config.mlp_bias) layer += Count(2) * inner + hidden;
  const Count embedding = count(config.vocab_size) * hidden;
  const Count total = layer * count(config.num_hidden_layers) + hidden +
                      (config.tie_word_embeddings ? embedding : Count(2) * embedding);
  return checked_cast<index_t>(total.value("the number of parameters"), "the number of parameters");
}

/// Returns the storage type of activations for the name of a type: "auto" (the type of the checkpoint, as in
/// transformers 5), "float32", "bfloat16", "float16". On a CPU, float16 is computed in float32, because its range is
/// too small for gradients.
/// \throws ArgumentError for another name
inline Storage activation_storage(const std::string& name, const LlamaConfig& config) {
  const std::string& type = name == "auto" ? config.dtype : name;
  if (type == "bfloat16") return Storage::bfloat16;
  expects(name == "auto" || name == "float32" || name == "float16",
          "dtype " + name + ": expected auto, float32, bfloat16 or float16");
  return Storage::float32;
}

/// Returns the name of a storage type of activations.
inline std::string activation_name(Storage storage) { return storage == Storage::bfloat16 ? "bfloat16" : "float32"; }

}  // namespace veneer
