// SPDX-License-Identifier: Apache-2.0
/// \file layer.cpp
/// layer THREADS: times forward and backward of one linear layer for each line on stdin, for layer.py.
///
///   frozen|lora|dora WIDTH TOKENS RANK float32|bfloat16|nf4
///   x, y: (tokens, width)   w: (width, width)   factors of rank RANK, float; nf4: x and y in bfloat16
/// As in the middle of a model: x is a variable, its gradient is computed, and so are those of the factors. Factors are
/// marked as changed before each run, as after an optimizer step. The output is the milliseconds of one run.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "veneer/backend/cpu.hpp"
#include "veneer/peft/dora.hpp"
#include "veneer/peft/lora.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace {

using namespace veneer;

Matrix<float, Cpu> random(index_t rows, index_t columns, std::uint64_t stream, double stddev) {
  return normal<float, Cpu>(Shape<dyn, dyn>(rows, columns), RandomStream{7, stream}, stddev);
}

struct LayerSetting {
  std::string method, storage;
  index_t width = 0, tokens = 0, rank = 0;
};

/// A run of one layer, with its operands.
template <Stored T, class W>
std::function<void()> layer(const LayerSetting& s, const W& w) {
  const auto x0 = convert<T>(random(s.tokens, s.width, 1, 1.0)), dy = convert<T>(random(s.tokens, s.width, 3, 1.0));
  const auto run = [=](auto&& apply, auto&&... factors) {
    (factors.slot()->version++, ...);
    Tape tape;
    const auto x = tape.variable(x0);
    const auto y = apply(w, NoBias{}, x);
    y.slot()->add(dy);
    tape.replay();
    (factors.clear_gradient(), ...);
  };
  if (s.method == "frozen") return [=] { run(NoAdapter{}); };
  const LowRankAdapter<Cpu> low{random(s.rank, s.width, 4, 1.0), random(s.width, s.rank, 5, 0.01), 2.0};
  if (s.method == "lora") return [=, adapter = low]() mutable { run(adapter, adapter.down, adapter.up); };
  expects(s.method == "dora", "layer: METHOD is frozen, lora or dora");
  return [=, adapter = DoraAdapter<Cpu>(w, low)]() mutable {
    run(adapter, adapter.direction.down, adapter.direction.up, adapter.magnitude.value);
  };
}

std::function<void()> layer(const LayerSetting& s) {
  const auto w = random(s.width, s.width, 2, 0.01);
  if (s.storage == "float32") return layer<float>(s, w);
  if (s.storage == "bfloat16") return layer<bfloat16>(s, convert<bfloat16>(w));
  expects(s.storage == "nf4", "layer: the storage is float32, bfloat16 or nf4");
  return layer<bfloat16>(s, NF4Tensor(w));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: layer THREADS\n";
    return 2;
  }
  try {
    Cpu::set_threads(std::atoi(argv[1]));
    std::map<std::string, std::function<void()>> layers;
    for (std::string line; std::getline(std::cin, line);) {
      LayerSetting s;
      std::istringstream(line) >> s.method >> s.width >> s.tokens >> s.rank >> s.storage;
      auto& run = layers[line];
      if (!run) run = layer(s);
      const auto start = std::chrono::steady_clock::now();
      run();
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
      std::cout << taken.count() << std::endl;
    }
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << "layer: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}
