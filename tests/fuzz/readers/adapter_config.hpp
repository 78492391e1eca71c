// SPDX-License-Identifier: Apache-2.0
/// \file adapter_config.hpp
/// adapter_config.json: accepted settings are written again, and read back as the same settings.
#pragma once

#include <filesystem>
#include <string>

#include "veneer/io/json.hpp"
#include "veneer/io/peft_config.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline Reader adapter_config_reader(const Sources& sources) {
  Reader reader{{}, {}, {}, kind_of};
  for (const auto& entry : std::filesystem::directory_iterator(sources.data / "adapters"))
    reader.corpus.push_back(testing::file_bytes(entry.path() / "adapter_config.json"));
  std::sort(reader.corpus.begin(), reader.corpus.end());
  reader.words = {"peft_type",
                  "LORA",
                  "ADALORA",
                  "IA3",
                  "VERA",
                  "LOHA",
                  "r",
                  "lora_alpha",
                  "rank_pattern",
                  "alpha_pattern",
                  "target_modules",
                  "exclude_modules",
                  "all-linear",
                  "q_proj",
                  "(?!x)",
                  "(a+)+",
                  "modules_to_save",
                  "bias",
                  "lora_only",
                  "init_lora_weights",
                  "pissa_niter_4",
                  "use_dora",
                  "use_rslora",
                  "layers_to_transform",
                  "layers_pattern",
                  "loftq_config",
                  "eva_config",
                  "inference_mode",
                  "init_r",
                  "target_r",
                  "total_step",
                  "tinit",
                  "tfinal",
                  "lora_bias",
                  "fan_in_fan_out",
                  "trainable_token_indices"};
  reader.read = [](const std::string& bytes) {
    const AdapterFile file = parse_adapter_config(parse_json(bytes, "adapter_config.json"), "adapter_config.json");
    const std::string written = adapter_config_json(file.config, &file.raw);
    AdapterFile again = parse_adapter_config(parse_json(written, "written"), "written");
    AdapterConfig expected = file.config;
    expected.inference_mode = true;  // as PEFT writes it
    for (AdapterConfig* config :
         {&expected, &again.config}) {  // missing settings are listed, unless they are null in the file
      if (auto* own = std::get_if<Ia3>(&config->method)) *own = own->completed(config->target_modules);
    }
    must(again.config == expected, "other settings when they are written and read again");
  };
  return reader;
}

}  // namespace veneer::fuzz
