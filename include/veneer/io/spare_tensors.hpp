// SPDX-License-Identifier: Apache-2.0
/// \file spare_tensors.hpp
/// Checks of checkpoint tensors that a model does not use: they are compared with the model's own values.
///
///   lm_head.weight of a tied model        equal to the embedding: a second copy; otherwise the weight of the head,
///                                         as in transformers 5, and the model is no longer tied
///   *.rotary_emb.inv_freq                 the frequencies, stored by old versions of transformers; now computed from
///                                         config.json, also in transformers; another value gives a warning
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "veneer/io/safetensors.hpp"
#include "veneer/nn/llama_config.hpp"

namespace veneer {

namespace detail {

/// Returns whether two tensors of files have the same values, whatever their types. Rows are compared one by one.
/// \throws FormatError for a tensor that is not of floating point
inline bool same_numbers(const TensorEntry& a, const TensorEntry& b) {
  if (a.shape != b.shape) return false;
  if (a.dtype == b.dtype) return a.bytes == b.bytes && (a.bytes == 0 || std::memcmp(a.data, b.data, a.bytes) == 0);
  const std::int64_t rows = a.shape.empty() || a.shape[0] == 0 ? 1 : a.shape[0];
  const auto row = [rows](const TensorEntry& whole, std::int64_t i) {
    TensorEntry part = whole;
    part.bytes = whole.bytes / static_cast<std::size_t>(rows);
    part.data = whole.data + part.bytes * static_cast<std::size_t>(i);
    std::vector<double> values(static_cast<std::size_t>(element_count(part)));
    read_floats(part, values.data());
    return values;
  };
  for (std::int64_t i = 0; i < rows; ++i) {
    if (row(a, i) != row(b, i)) return false;
  }
  return true;
}

/// Returns whether the files have a separate head for a model that is tied in config.json.
inline bool head_differs(const ShardedCheckpoint& files) {
  const TensorEntry* head = files.find("lm_head.weight");
  const TensorEntry* table = files.find("model.embed_tokens.weight");
  return head != nullptr && table != nullptr && !same_numbers(*head, *table);
}

inline bool is_frequencies(const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); }

/// Returns whether stored frequencies equal the computed ones, up to the rounding of their type.
inline bool same_frequencies(const TensorEntry& entry, const std::vector<float>& computed) {
  if (entry.shape != std::vector<std::int64_t>{static_cast<std::int64_t>(computed.size())}) return false;
  std::vector<double> stored(computed.size());
  read_floats(entry, stored.data());
  const double relative = entry.dtype == Dtype::bf16 ? 1.0 / 256 : entry.dtype == Dtype::f16 ? 1.0 / 2048 : 1e-5;
  const double absolute = entry.dtype == Dtype::f16 ? 6e-8 : 0.0;  // float16 has subnormal steps of 2^-24
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const double expected = computed[i];
    if (!(std::abs(stored[i] - expected) <= relative * expected + absolute)) return false;
  }
  return true;
}

/// Returns a warning about stored frequencies that differ from the computed ones; empty if none do.
inline std::string frequency_warning(const ShardedCheckpoint& files, const LlamaConfig& config) {
  const std::vector<float> computed = inverse_frequencies(config);
  std::size_t others = 0;
  std::string first;
  for (const std::string& name : files.names()) {
    if (!is_frequencies(name)) continue;
    const bool same = same_frequencies(files.at(name), computed);
    if (!same && ++others == 1) first = name;
  }
  if (others == 0) return {};
  return files.where() + ": " + first + (others > 1 ? " and " + std::to_string(others - 1) + " more" : "") +
         ": other frequencies than rope_theta and rope_scaling of config.json give; those of config.json are used, as "
         "in transformers";
}

}  // namespace detail

}  // namespace veneer
