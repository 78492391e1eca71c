// SPDX-License-Identifier: Apache-2.0
/// \file setting.hpp
/// Setting: a method and its options to train the shipped model.
#pragma once

#include <cstdint>
#include <string>

#include "veneer/core/shape.hpp"

namespace veneer::compare {

enum class Method { lora, qlora, dora, adalora, full };

inline const char* name_of(Method method) {
  switch (method) {
    case Method::lora: return "LoRA";
    case Method::qlora: return "QLoRA";
    case Method::dora: return "DoRA";
    case Method::adalora: return "AdaLoRA";
    default: return "full";
  }
}

/// A training setting. All seven linear modules of a block, AdamW without decay, 20 steps of warm-up, then linear to 0.
struct Setting {
  Method method = Method::lora;
  double rate = 5e-3;
  index_t rank = 8;            // AdaLoRA: final mean rank; the initial one is 1.5 times as large
  double alpha = 16;           // AdaLoRA divides it by the initial rank
  double orthogonality = 0.5;  // AdaLoRA
  double replay = 0;           // fraction of every batch that comes from replay.jsonl
  std::string task = "shell";
  index_t steps = 300;
  index_t batch = 32;  // lines per step
  std::uint64_t seed = 1;
};

inline index_t rank_at_start(const Setting& setting) { return setting.rank + (setting.rank + 1) / 2; }

}  // namespace veneer::compare
