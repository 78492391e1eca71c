// SPDX-License-Identifier: Apache-2.0
/// \file adapter_folder.hpp
/// A whole adapter folder, read for a shape-only model: config and tensors agree, or one error lists the differences.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/nn/llama.hpp"

#include "fuzz/must.hpp"
#include "fuzz/parts.hpp"
#include "fuzz/reader.hpp"
#include "fuzz/readers/safetensors.hpp"

namespace veneer::fuzz {

inline Reader adapter_folder_reader(const Sources& sources) {
  Reader reader{{}, {}, {}, safetensors_reason};
  for (const char* name : {"lora-qv", "lora-qv-bf16", "rslora-patterns", "lora-regex-target", "dora", "ia3", "vera"}) {
    const std::filesystem::path folder = sources.data / "adapters" / name;
    if (std::filesystem::file_size(folder / "adapter_model.safetensors") < 32768)
      reader.corpus.push_back(parts_of(folder, {"adapter_config.json", "adapter_model.safetensors"}));
  }
  reader.words = {"r",
                  "target_modules",
                  "q_proj",
                  "v_proj",
                  "rank_pattern",
                  "base_model.model.model.layers.0.",
                  "LORA",
                  "lora_A.weight",
                  "lora_B.weight",
                  "default",
                  "F32",
                  "BF16",
                  "shape",
                  "dtype",
                  "[4,64]",
                  "[64,4]",
                  "\n== ",
                  "modules_to_save",
                  "lm_head",
                  "bias",
                  "all",
                  "use_dora",
                  "true",
                  "IA3",
                  "lora_magnitude_vector"};
  const LlamaConfig config =
      read_llama_config(sources.data / "models" / "llama-gqa-llama3rope-sharded" / "config.json").config;
  auto folder = std::make_shared<PartsFolder>();
  reader.read = [folder, config](const std::string& input) {
    folder->write(input);
    AnyLlama<> model(config);
    const LoadedAdapter loaded = load_adapter(model, folder->path());
    must(loaded.plan.trainable() >= 0 && !loaded.dtypes.empty(), "an adapter without tensors");
  };
  return reader;
}

}  // namespace veneer::fuzz
