// SPDX-License-Identifier: Apache-2.0
/// \file lora_plus.hpp
/// LoRA+: parameter groups with a higher learning rate for B than for A.
///
///   group                                     rate            decay
///   A, and modules trained in full            rate            as given
///   LoRA of embeddings                        embedding_rate  as given
///   B, and vectors (magnitudes of DoRA)       rate * ratio    as given
///   biases, weights of norms                  rate * ratio    none
/// The schedule multiplies all rates. Hayou, Ghosh and Yu, "LoRA+: Efficient Low Rank Adaptation of Large Models",
/// arXiv:2402.12354; the groups are those of huggingface/peft, src/peft/optimizers/loraplus.py.
///
///   AdamW optimizer(model, {.learning_rate = 1e-4, .weight_decay = 0}, LoraPlus{.ratio = 16, .learning_rate = 1e-4});
#pragma once

#include <string>

#include "veneer/optim/adamw.hpp"

namespace veneer {

struct LoraPlus {
  double ratio = 16.0;           // learning rate of B relative to that of A
  double learning_rate = 0.0;    // of A: the one of the optimizer's options
  double embedding_rate = 1e-6;  // of both factors on an embedding

  /// Returns the settings of a parameter.
  ParameterGroup operator()(const std::string& name, int rank) const {
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    if (has("lora_embedding_")) return {learning_rate > 0.0 ? embedding_rate / learning_rate : 0.0, 1.0};
    if (!has("lora_B") && rank != 1) return {};
    const bool plain_vector = has("bias") || (rank == 1 && has("norm") && !has("lora_"));
    return {ratio, plain_vector ? 0.0 : 1.0};
  }
};

}  // namespace veneer
