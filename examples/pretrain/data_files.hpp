// SPDX-License-Identifier: Apache-2.0
/// \file data_files.hpp
/// All shipped data files except the weights, as bytes. Generated from seeds only, so equal on every run and machine.
///
/// | file                                    | lines         | purpose                                               |
/// |-----------------------------------------|---------------|-------------------------------------------------------|
/// | iso.train, iso.valid, iso.test          | 4096 256 512  | the task of the first command: train, tune, report    |
/// | shell.train, shell.valid, shell.test    | 4096 256 512  | the harder task                                       |
/// | base.test                               | <= 100 / skill| old skills, before and after                          |
/// | replay                                  | 1024          | base lines to mix in, to preserve old skills          |
/// | prose.test                              | 150           | passages, for nats per token                          |
/// | veneer-tiny/*.json                      |               | tokenizer and configuration of the base model         |
///
/// A line is `{"prompt": ..., "completion": ...}`. Prose has an empty prompt: <bos>, passage, <eos>, all trained on.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "pretrain/bpe_trainer.hpp"
#include "pretrain/grammar.hpp"
#include "pretrain/json_text.hpp"
#include "pretrain/tokenizer_json.hpp"

namespace veneer::pretrain {

struct DataFile {
  std::string path;  // relative to the data folder
  std::string bytes;
};

inline std::string json_lines(const std::vector<Document>& documents) {
  std::string text;
  for (const Document& document : documents) text.append(json_line(document));
  return text;
}

/// Returns up to 100 held-out lines of each skill, with the skill's name.
inline std::string base_test_lines() {
  std::string text;
  for (const Skill& skill : skills) {
    for (const Document& document : collect(skill.draw, {seeds::base_test, Split::test, 100})) {
      text.append(json_line(document, skill.name));
    }
  }
  return text;
}

/// Returns distinct documents of the base mixture, including prose. Throws Error if the mixture has fewer.
inline std::vector<Document> draw_replay(std::size_t count) {
  BaseStream stream(seeds::replay);
  std::vector<Document> documents;
  std::unordered_set<std::string> seen;
  for (std::size_t draws = 0; draws < 100 * count && documents.size() < count; ++draws) {
    Document document = stream.next();
    if (seen.insert(document.prompt + document.completion).second) documents.push_back(std::move(document));
  }
  expects<Error>(documents.size() == count, "draw_replay(count): the base mixture repeats itself too often");
  return documents;
}

inline std::vector<Document> draw_prose_test(std::size_t count) {
  SplitMix64 random(seeds::prose_test);
  std::vector<Document> passages;
  while (passages.size() < count) passages.push_back(draw_prose(random));
  return passages;
}

inline constexpr std::string_view config_json = R"({
  "architectures": [
    "LlamaForCausalLM"
  ],
  "attention_bias": false,
  "attention_dropout": 0.0,
  "bos_token_id": 0,
  "dtype": "bfloat16",
  "eos_token_id": 1,
  "head_dim": 32,
  "hidden_act": "silu",
  "hidden_size": 128,
  "initializer_range": 0.02,
  "intermediate_size": 384,
  "max_position_embeddings": 256,
  "mlp_bias": false,
  "model_type": "llama",
  "num_attention_heads": 4,
  "num_hidden_layers": 4,
  "num_key_value_heads": 2,
  "pad_token_id": null,
  "pretraining_tp": 1,
  "rms_norm_eps": 1e-05,
  "rope_parameters": {
    "rope_theta": 10000.0,
    "rope_type": "default"
  },
  "tie_word_embeddings": true,
  "transformers_version": "5.23.0",
  "use_cache": true,
  "vocab_size": 512
}
)";

inline constexpr std::string_view generation_config_json = R"({
  "_from_model_config": true,
  "bos_token_id": 0,
  "eos_token_id": 1,
  "output_attentions": false,
  "output_hidden_states": false,
  "transformers_version": "5.23.0",
  "use_cache": true
}
)";

inline constexpr std::string_view tokenizer_config_json = R"({
  "backend": "tokenizers",
  "bos_token": "<|begin_of_text|>",
  "clean_up_tokenization_spaces": false,
  "eos_token": "<|end_of_text|>",
  "model_max_length": 256,
  "tokenizer_class": "TokenizersBackend"
}
)";

/// Returns the shipped files. `record` is only a generator: its lines are long, and it is not a first task.
inline std::vector<DataFile> data_files() {
  std::vector<DataFile> files;
  for (const Task& task : tasks) {
    if (task.name == "record") continue;
    const auto add = [&](std::string_view part, const Selection& selection) {
      std::string path(task.name);
      path.append(".").append(part).append(".jsonl");
      files.push_back({std::move(path), json_lines(collect_all(task.draw, selection))});
    };
    add("train", {seeds::task_training, Split::training, 4096});
    add("valid", {seeds::task_validation, Split::validation, 256});
    add("test", {seeds::task_test, Split::test, 512});
  }
  files.push_back({"base.test.jsonl", base_test_lines()});
  files.push_back({"replay.jsonl", json_lines(draw_replay(1024))});
  files.push_back({"prose.test.jsonl", json_lines(draw_prose_test(150))});
  files.push_back({"veneer-tiny/tokenizer.json", tokenizer_json(train_shipped_merges())});
  files.push_back({"veneer-tiny/tokenizer_config.json", std::string(tokenizer_config_json)});
  files.push_back({"veneer-tiny/config.json", std::string(config_json)});
  files.push_back({"veneer-tiny/generation_config.json", std::string(generation_config_json)});
  return files;
}

}  // namespace veneer::pretrain
