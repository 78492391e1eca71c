// SPDX-License-Identifier: Apache-2.0
/// \file adapter_bench.cpp
/// The cost of each method on one linear layer, dense and in 4 bits: forward and backward, as in the middle of a model,
/// after an optimizer step.
///
///   x: (512, 4096)   w: (4096, 4096)   rank 16
/// `flops` counts only the two matmuls with the weight, so that rates of all methods are comparable. A and B are marked
/// as changed before every repetition: DoRA then recomputes its norms, as it does once per training step.
///
///   build/release/benchmarks/bench_peft --benchmark_enable_random_interleaving --benchmark_repetitions=15
#include <benchmark/benchmark.h>

#include "veneer/backend/cpu.hpp"
#include "veneer/peft/methods.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace {

using namespace veneer;

constexpr index_t width = 4096, tokens = 512, rank = 16;
using Dense = Matrix<float, Cpu>;

Dense random(index_t rows, index_t columns, std::uint64_t stream, double stddev) {
  return normal<float, Cpu>(Shape<dyn, dyn>(rows, columns), RandomStream{7, stream}, stddev);
}

/// Returns a frozen weight of each storage type, shared by all cases.
template <bool Packed>
const auto& weight() {
  static const auto w = [] {
    if constexpr (Packed) return NF4Tensor(random(width, width, 2, 0.01));
    if constexpr (!Packed) return random(width, width, 2, 0.01);
  }();
  return w;
}

LowRankAdapter<Cpu> low_rank() { return {random(rank, width, 4, 1.0), random(width, rank, 5, 0.01), 2.0}; }

/// The adapters of each method, with values as after some steps.
struct Frozen {
  static auto make(const auto&) { return NoAdapter{}; }
};
struct Low {
  static auto make(const auto&) { return low_rank(); }
};
struct Lengths {
  static auto make(const auto& w) { return DoraAdapter<Cpu>(w, low_rank()); }
};
struct Triplets {
  static auto make(const auto&) {
    AdaLoraAdapter<Cpu> adapter;
    adapter.down = Parameter(random(rank, width, 4, 1.0));
    adapter.singular = Parameter(random(rank, 1, 6, 0.1));
    adapter.up = Parameter(random(width, rank, 5, 1.0));
    adapter.scaling = 16.0, adapter.rank_number = 16.0;
    return adapter;
  }
};
struct Gains {
  static auto make(const auto&) { return ScalingAdapter<Cpu>{Parameter(random(width, 1, 4, 1.0)), false}; }
};

/// Calls f with each parameter of an adapter.
template <class A, class F>
void each_parameter(A& adapter, const F& f) {
  visit(adapter, [&](const std::string&, auto& part) {
    if constexpr (ParameterLike<decltype(part)>) {
      if (part.slot()) f(part);
    }
  });
}

template <class Method, bool Packed>
void forward_backward(benchmark::State& state) {
  const auto& w = weight<Packed>();
  auto adapter = Method::make(w);
  const Dense x0 = random(tokens, width, 1, 1.0), dy = random(tokens, width, 3, 1.0);
  const auto once = [&] {
    each_parameter(adapter, [](auto& part) { part.slot()->version++; });
    Tape tape;
    const auto x = tape.variable(x0);
    const auto y = adapter(w, NoBias{}, x);
    y.slot()->add(dy);
    tape.replay();
    benchmark::DoNotOptimize(x.gradient().data());
    each_parameter(adapter, [](auto& part) { part.clear_gradient(); });
  };
  once();  // values that depend only on w are cached from here on
  for (auto _ : state) once();
  const auto flops = 4.0 * static_cast<double>(tokens * width * width);
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["threads"] = Cpu::threads();
}

void time(benchmark::internal::Benchmark* b) {
  b->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->MinTime(0.2);
}

BENCHMARK(forward_backward<Frozen, false>)->Name("frozen/dense")->Apply(time);
BENCHMARK(forward_backward<Low, false>)->Name("lora/dense")->Apply(time);
BENCHMARK(forward_backward<Lengths, false>)->Name("dora/dense")->Apply(time);
BENCHMARK(forward_backward<Triplets, false>)->Name("adalora/dense")->Apply(time);
BENCHMARK(forward_backward<Gains, false>)->Name("ia3/dense")->Apply(time);
BENCHMARK(forward_backward<Frozen, true>)->Name("frozen/nf4")->Apply(time);
BENCHMARK(forward_backward<Low, true>)->Name("lora/nf4")->Apply(time);
BENCHMARK(forward_backward<Lengths, true>)->Name("dora/nf4")->Apply(time);
BENCHMARK(forward_backward<Triplets, true>)->Name("adalora/nf4")->Apply(time);

}  // namespace
