// SPDX-License-Identifier: Apache-2.0
/// \file own_model.cpp
/// A user-defined model: a plain struct, two adapted layers, a training loop of fifteen lines. No base
/// class, no registration.
///
/// The frozen part is a random network, and the task is to imitate another one: only the low-rank factors are trained.
#include <cstdio>
#include <tuple>

#include "veneer/backend/cpu.hpp"
#include "veneer/nn/linear.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/optim/adamw.hpp"
#include "veneer/peft/lora.hpp"

using namespace veneer;

template <index_t Out, index_t In>
using Adapted = Linear<Tensor<float, Shape<Out, In>, Cpu>, LowRankAdapter<Cpu, 4>>;

struct Mlp {
  Adapted<64, 16> up;
  Adapted<8, 64> down;

  auto operator()(const auto& x) const { return down(silu(up(x))); }
  static constexpr auto fields = std::tuple{field("up", &Mlp::up), field("down", &Mlp::down)};
};

Mlp random_mlp(std::uint64_t seed) {
  Mlp model;
  model.up.weight = normal<float>(Shape<64, 16>{}, RandomStream{seed, 1}, 0.25, Cpu{});
  model.down.weight = normal<float>(Shape<8, 64>{}, RandomStream{seed, 2}, 0.125, Cpu{});
  model.up.adapter = LowRankAdapter<Cpu, 4>(model.up.weight.shape(), {.alpha = 8}, {seed, 3});
  model.down.adapter = LowRankAdapter<Cpu, 4>(model.down.weight.shape(), {.alpha = 8}, {seed, 4});
  return model;
}

int main() {
  Mlp model = random_mlp(1);
  Mlp teacher = random_mlp(1);  // the same weights, other factors
  teacher.up.adapter.up = Parameter(normal<float>(Shape<dyn, 4>(64), RandomStream{2, 1}, 0.3, Cpu{}));
  teacher.down.adapter.up = Parameter(normal<float>(Shape<dyn, 4>(8), RandomStream{2, 2}, 0.3, Cpu{}));

  AdamW optimizer(model, {.learning_rate = 5e-3});  // sees the adapters; weights are not Parameters
  double first = 0, last = 0;
  for (std::uint64_t step = 0; step < 300; ++step) {
    const auto x = normal<float>(Shape<dyn, 16>(32), RandomStream{3, step}, 1.0, Cpu{});  // (batch, 16)
    Tape tape;
    const auto loss = mean_squared_error(model(tape.input(x)), teacher(x));
    backward(loss);
    optimizer.step();
    last = item(loss.value());
    if (step == 0) first = last;
  }
  std::printf("trainable values %lld   loss %.4f -> %.6f\n", static_cast<long long>(trainable_count(model)), first,
              last);
  return last < first / 10 ? 0 : 1;
}
