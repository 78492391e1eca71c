// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/state.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/tensor/factory.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace state_test {

using namespace veneer;
namespace fs = std::filesystem;

namespace {

struct Pair {
  Parameter<float, Shape<dyn>, Cpu> first{normal<float>(Shape<dyn>(5), {1, 1}, 1.0, Cpu{})};
  Parameter<float, Shape<dyn>, Cpu> second{normal<float>(Shape<dyn>(3), {1, 2}, 1.0, Cpu{})};
  static constexpr auto fields = std::tuple{field("first", &Pair::first), field("second", &Pair::second)};
};

/// One step with gradients that follow from the parameters.
void step(Pair& model, AdamW& optimizer) {
  Tape tape;
  const auto loss = add(dot(on_tape(model.first, tape), on_tape(model.first, tape)),
                        dot(on_tape(model.second, tape), on_tape(model.second, tape)));
  backward(loss);
  optimizer.step(0.1);
  optimizer.clear_gradients();
}

}  // namespace

TEST_CASE("an optimizer goes on from what was written as if it had not stopped") {
  testing::TemporaryFolder folder;
  Pair straight;
  AdamW optimizer(straight);
  step(straight, optimizer);
  step(straight, optimizer);
  write_training_state(folder.path(), optimizer, {{"seed", 3}});
  Pair again = straight;
  again.first = Parameter(copy(straight.first.value())), again.second = Parameter(copy(straight.second.value()));
  step(straight, optimizer);

  const TrainingState state = read_training_state(folder.path());
  CHECK(state.step == 2);
  CHECK(state.settings == Json({{"seed", 3}}));
  AdamW resumed(again);
  resumed.restore(state.step, state.moments);
  step(again, resumed);
  CHECK(to_host(again.first.value()) == to_host(straight.first.value()));
  CHECK(to_host(again.second.value()) == to_host(straight.second.value()));
}

TEST_CASE("the newest complete checkpoint is found by its number") {
  testing::TemporaryFolder folder;
  CHECK_FALSE(newest_checkpoint(folder.path()));
  for (const char* name : {"checkpoint-9", "checkpoint-10", "checkpoint-x", "checkpoint-11", ".checkpoint-12"})
    fs::create_directories(folder / name);
  for (const char* name : {"checkpoint-9", "checkpoint-10", "checkpoint-x"})
    std::ofstream(folder / name / "trainer_state.json") << "{}";
  CHECK(newest_checkpoint(folder.path()) == folder / "checkpoint-10");
  CHECK(newest_checkpoint(folder / "checkpoint-9") == folder / "checkpoint-9");
}

TEST_CASE("a state that is missing or says something else is an error with its path") {
  testing::TemporaryFolder folder;
  CHECK_THROWS_AS(read_training_state(folder.path()), IoError);
  for (const char* text : {"[]", "{\"step\":1}", "{\"step\":\"1\",\"settings\":{},\"parameters\":[]}",
                           "{\"step\":1,\"settings\":{},\"parameters\":{}}"}) {
    folder.file("trainer_state.json", text);
    CHECK_THROWS_AS(read_training_state(folder.path()), FormatError);
  }
  folder.file("trainer_state.json", "{\"step\":1,\"settings\":{},\"parameters\":[\"a\"]}");
  CHECK_THROWS_AS(read_training_state(folder.path()), IoError);  // without its tensors
}

TEST_CASE("a state of transformers' Trainer is refused by its name, with what to do instead") {
  testing::TemporaryFolder folder;
  folder.file("trainer_state.json", R"({"epoch": 1.0, "global_step": 10, "log_history": []})");
  CHECK_THROWS_WITH(read_training_state(folder.path()),
                    Catch::Contains("Trainer of Hugging Face") && Catch::Contains("--model " + folder.path().string()));
  folder.file("adapter_config.json", "{}");
  CHECK_THROWS_WITH(read_training_state(folder.path()), Catch::Contains("--adapter " + folder.path().string()));
  CHECK(transformers_step("{\"log_history\": [{\"loss\": NaN}], \"global_step\" :\n 7}") == 7);  // as Python writes it
  for (const char* text : {"", "\"global_step\"", "{\"global_step\": 7}", "{\"log_history\":[],\"global_step\": x}",
                           "{\"settings\":{\"data\":\"log_history\"},\"log_history\":0,\"global_step\":7}"})
    CHECK_FALSE(transformers_step(text));
}

}  // namespace state_test
