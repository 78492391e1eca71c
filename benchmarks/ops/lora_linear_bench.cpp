// SPDX-License-Identifier: Apache-2.0
/// \file lora_linear_bench.cpp
/// The cost of an adapter: a frozen linear layer, the layer with LoRA, and plain Eigen matmuls of the same size.
///
///   frozen   y = x wᵀ                      dx = dy w
///   lora     y = x wᵀ + s (x Aᵀ) Bᵀ        dx = dy w + s (dy B) A,  dA, dB
///   eigen    y = x wᵀ, dx = dy w by Eigen::Map, with rows divided among the same number of threads
///   x: (tokens, width)   w: (width, width)   A: (rank, width)   B: (width, rank)
/// "forward" has no tape; "forward_backward" records x as a variable, so dx is computed as in the middle of a model.
/// The time is wall time; "CPU" is that of all threads together, which depends less on other load. Counters: `flops`
/// counts 2 tokens width² per matmul with the weight and 2 tokens width rank per matmul with a factor.
///
///   build/release/benchmarks/bench_ops --benchmark_enable_random_interleaving --benchmark_out=lora.json
///   scripts/plot_benchmark lora.json
#include <algorithm>
#include <cstdint>

#include <benchmark/benchmark.h>

#include "veneer/backend/cpu.hpp"
#include "veneer/backend/cpu/eigen.hpp"
#include "veneer/peft/lora.hpp"

namespace {

using namespace veneer;

using Dense = Matrix<float, Cpu>;
using Adapter = LowRankAdapter<Cpu>;

Dense random(index_t rows, index_t columns, std::uint64_t stream, double stddev = 1.0) {
  return normal<float, Cpu>(Shape<dyn, dyn>(rows, columns), RandomStream{7, stream}, stddev);
}

/// The operands of one case.
struct Case {
  index_t width, tokens, rank;
  Dense x, w, dy;

  explicit Case(const benchmark::State& state)
      : width(state.range(0)),
        tokens(state.range(1)),
        rank(state.range(2)),
        x(random(tokens, width, 1)),
        w(random(width, width, 2, 0.01)),
        dy(random(tokens, width, 3)) {}

  /// Returns an adapter with a non-zero up-projection, as after the first training step.
  Adapter adapter() const { return {Adapter::Down(random(rank, width, 4)), Adapter::Up(random(width, rank, 5)), 2.0}; }

  /// \param weight_products 1 forward, 2 with dx
  /// \param factor_products 2 forward; 6 with dz, dx, dA and dB
  void count(benchmark::State& state, int weight_products, int factor_products) const {
    const auto of = [this](index_t inner) { return 2.0 * static_cast<double>(tokens * width * inner); };
    const double flops = weight_products * of(width) + factor_products * of(rank);
    state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
    const auto processed = static_cast<double>(tokens);
    state.counters["tokens_per_s"] = benchmark::Counter(processed, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["threads"] = Cpu::threads();
  }
};

void frozen_forward(benchmark::State& state) {
  const Case c(state);
  for (auto _ : state) benchmark::DoNotOptimize(linear(c.x, c.w).data());
  c.count(state, 1, 0);
}

void lora_forward(benchmark::State& state) {
  const Case c(state);
  const Adapter adapter = c.adapter();
  for (auto _ : state) benchmark::DoNotOptimize(adapter(c.w, NoBias{}, c.x).data());
  c.count(state, 1, 2);
}

/// Records y of x, then computes the gradients from dy.
template <class Layer>
void there_and_back(const Case& c, const Layer& layer) {
  Tape tape;
  const auto x = tape.variable(c.x);
  const auto y = layer(x);
  y.slot()->add(c.dy);
  tape.replay();
  benchmark::DoNotOptimize(x.gradient().data());
}

void frozen_forward_backward(benchmark::State& state) {
  const Case c(state);
  for (auto _ : state) there_and_back(c, [&c](const auto& x) { return linear(x, c.w); });
  c.count(state, 2, 0);
}

void lora_forward_backward(benchmark::State& state) {
  const Case c(state);
  Adapter adapter = c.adapter();
  for (auto _ : state) {
    there_and_back(c, [&](const auto& x) { return adapter(c.w, NoBias{}, x); });
    benchmark::DoNotOptimize(adapter.down.gradient().data());
    benchmark::DoNotOptimize(adapter.up.gradient().data());
    adapter.down.clear_gradient();
    adapter.up.clear_gradient();
  }
  c.count(state, 2, 6);
}

/// Calls f(first row, number of rows) on each thread.
template <class F>
void by_rows(index_t rows, const F& f) {
  const index_t threads = Cpu::threads(), share = (rows + threads - 1) / threads;
  Cpu{}.concurrently(threads, [&](index_t thread) {
    const index_t begin = std::min(rows, thread * share), end = std::min(rows, begin + share);
    if (begin < end) f(begin, end - begin);
  });
}

void eigen_forward(benchmark::State& state) {
  const Case c(state);
  const auto w = cpu::as_eigen(c.w.data(), c.width, c.width, c.width);
  Dense y(c.x.shape());
  for (auto _ : state) {
    by_rows(c.tokens, [&](index_t row, index_t rows) {
      const auto x = cpu::as_eigen(c.x.data() + row * c.width, rows, c.width, c.width);
      cpu::as_eigen(y.data() + row * c.width, rows, c.width, c.width).noalias() = x * w.transpose();
    });
    benchmark::ClobberMemory();
  }
  c.count(state, 1, 0);
}

void eigen_forward_backward(benchmark::State& state) {
  const Case c(state);
  const auto w = cpu::as_eigen(c.w.data(), c.width, c.width, c.width);
  Dense y(c.x.shape()), dx(c.x.shape());
  for (auto _ : state) {
    by_rows(c.tokens, [&](index_t row, index_t rows) {
      const auto x = cpu::as_eigen(c.x.data() + row * c.width, rows, c.width, c.width);
      cpu::as_eigen(y.data() + row * c.width, rows, c.width, c.width).noalias() = x * w.transpose();
    });
    by_rows(c.tokens, [&](index_t row, index_t rows) {
      const auto dy = cpu::as_eigen(c.dy.data() + row * c.width, rows, c.width, c.width);
      cpu::as_eigen(dx.data() + row * c.width, rows, c.width, c.width).noalias() = dy * w;
    });
    benchmark::ClobberMemory();
  }
  c.count(state, 2, 0);
}

constexpr index_t widths[] = {128, 512, 1024, 4096};
constexpr index_t usual_tokens = 512, usual_rank = 16;

template <class F>
void for_each_size(const F& add) {
  for (const index_t width : widths) {
    for (const index_t tokens : {index_t{64}, usual_tokens, index_t{2048}}) {
      if (width * tokens < 4096 * 2048) add(width, tokens);  // the largest case would take a minute
    }
  }
}

void time(benchmark::internal::Benchmark* b) {
  b->ArgNames({"width", "tokens", "rank"})
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond)
      ->MinTime(0.2);
}

/// Adds the cases without an adapter, rank 0.
void plain(benchmark::internal::Benchmark* b) {
  for_each_size([b](index_t width, index_t tokens) { b->Args({width, tokens, 0}); });
  time(b);
}

/// Adds every size at the usual rank.
void usual(benchmark::internal::Benchmark* b) {
  for_each_size([b](index_t width, index_t tokens) { b->Args({width, tokens, usual_rank}); });
  time(b);
}

/// Adds every size at the usual rank, and every rank at the usual number of tokens.
void every_rank(benchmark::internal::Benchmark* b) {
  usual(b);
  for (const index_t width : widths) {
    for (index_t rank = 1; rank <= 256; rank *= 2) {
      if (rank != usual_rank) b->Args({width, usual_tokens, rank});
    }
  }
}

BENCHMARK(eigen_forward)->Apply(plain);
BENCHMARK(frozen_forward)->Apply(plain);
BENCHMARK(lora_forward)->Apply(usual);
BENCHMARK(eigen_forward_backward)->Apply(plain);
BENCHMARK(frozen_forward_backward)->Apply(plain);
BENCHMARK(lora_forward_backward)->Apply(every_rank);

}  // namespace
