// SPDX-License-Identifier: Apache-2.0
/// \file config.hpp
/// config.json of a model: an accepted config gives a shape-only model with the same number of parameters.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/io/quantization.hpp"
#include "veneer/peft/attach.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

/// The configs of the models in a folder of such.
inline std::vector<std::string> configs_in(const std::filesystem::path& folder) {
  std::vector<std::string> configs;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (std::filesystem::exists(entry.path() / "config.json"))
      configs.push_back(testing::file_bytes(entry.path() / "config.json"));
  std::sort(configs.begin(), configs.end());  // the order of a folder is not the same everywhere
  return configs;
}

inline Reader config_reader(const Sources& sources) {
  Reader reader{configs_in(sources.data / "models-refused"), {}, {}, kind_of};
  favour(reader.corpus, configs_in(sources.data / "models"));
  reader.words = {"model_type",
                  "architectures",
                  "hidden_size",
                  "num_hidden_layers",
                  "num_attention_heads",
                  "head_dim",
                  "num_key_value_heads",
                  "vocab_size",
                  "rope_scaling",
                  "rope_parameters",
                  "rope_theta",
                  "rope_type",
                  "factor",
                  "llama3",
                  "linear",
                  "yarn",
                  "sliding_window",
                  "layer_types",
                  "sliding_attention",
                  "full_attention",
                  "tie_word_embeddings",
                  "quantization_config",
                  "bnb_4bit_quant_type",
                  "eos_token_id",
                  "hidden_act",
                  "silu",
                  "llama",
                  "mistral",
                  "qwen2",
                  "max_position_embeddings",
                  "attention_bias"};
  reader.read = [](const std::string& bytes) {
    const LlamaConfigFile file = parse_llama_config(parse_json(bytes, "config.json"), "config.json");
    AnyLlama<> shape_only(file.config);
    must(veneer::base_count(shape_only) == parameter_count(file.config), "another number of parameters");
    read_quantization(file.raw, "config.json");
  };
  return reader;
}

}  // namespace veneer::fuzz
