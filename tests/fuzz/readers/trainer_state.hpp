// SPDX-License-Identifier: Apache-2.0
/// \file trainer_state.hpp
/// trainer_state.json and trainer_state.safetensors of a checkpoint: read, and restored to an optimizer.
#pragma once

#include <memory>
#include <string>
#include <tuple>

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/tensor/factory.hpp"
#include "veneer/train/state.hpp"

#include "fuzz/must.hpp"
#include "fuzz/parts.hpp"
#include "fuzz/readers/safetensors.hpp"

namespace veneer::fuzz {

/// A model whose state has the moments of `a`.
struct OneWeight {
  Parameter<float, Shape<dyn>, Cpu> a{zeros<float>(Shape<dyn>(2), Cpu{})};
  static constexpr auto fields = std::tuple{field("a", &OneWeight::a)};
};

inline Reader trainer_state_reader(const Sources&) {
  Reader reader{{}, {}, {}, safetensors_reason};
  const std::string state = "== trainer_state.json\n", tensors = "\n== trainer_state.safetensors\n";
  reader.corpus = {
      state + R"({"step":2,"settings":{"model":"m","rank":4},"parameters":["a"]})" + tensors +
          R"({"a.first":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a.second":{"dtype":"F32","shape":[2],)"
          R"("data_offsets":[8,16]}})"
          "\n1234567812345678",
      state + R"({"step":2,"settings":{},"parameters":[],"kept":{"m":[true,false]}})" + tensors +
          R"({"m.triplets":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
          R"("m.sensitivity":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},)"
          R"("m.uncertainty":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})"
          "\n12345678",
      state + R"({"best_metric": null, "epoch": 1.0, "global_step": 10, "log_history": [{"loss": NaN}]})"};
  reader.words = {"step",     "settings", "parameters", "kept",          "a",           "a.first",
                  "a.second", "m",        "m.triplets", "m.sensitivity", "global_step", "log_history",
                  "true",     "false",    "F32",        "\n== ",         "NaN"};
  auto folder = std::make_shared<PartsFolder>();
  reader.read = [folder](const std::string& input) {
    folder->write(input);
    const auto newest = newest_checkpoint(folder->path());
    must(newest.has_value() == std::filesystem::exists(folder->path() / "trainer_state.json"), "a checkpoint is found");
    const TrainingState read = read_training_state(folder->path());
    OneWeight model;
    AdamW optimizer(model);
    optimizer.restore(read.step, read.moments, read.triplets);
    must(optimizer.steps() == read.step && optimizer.moments().size() == 1, "an optimizer in that state");
  };
  return reader;
}

}  // namespace veneer::fuzz
