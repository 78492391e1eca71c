// SPDX-License-Identifier: Apache-2.0
/// \file nf4_bench.cpp
/// 4-bit weights: quantising, decoding, and a matmul compared with one of the dense values.
///
///   w: (4096, 4096)   x: (tokens, 4096)
/// `bytes_per_second` counts bytes read and written: 4 bits per code, a float per block of 64, 4 or 2 bytes per value.
#include <benchmark/benchmark.h>

#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace {

using namespace veneer;

constexpr index_t width = 4096;
using Dense = Matrix<float, Cpu>;

Dense random(index_t rows, index_t columns, std::uint64_t stream) {
  return normal<float, Cpu>(Shape<dyn, dyn>(rows, columns), RandomStream{7, stream}, 0.02);
}

void count(benchmark::State& state, std::size_t value_bytes) {
  const double bytes = static_cast<double>(width * width) * (0.5 + 4.0 / 64.0 + static_cast<double>(value_bytes));
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * static_cast<std::int64_t>(state.iterations()));
  state.counters["threads"] = Cpu::threads();
}

template <Stored T>
void quantise(benchmark::State& state) {
  const auto w = convert<T>(random(width, width, 1));
  const NF4Options options{.double_quant = state.range(0) != 0};
  for (auto _ : state) benchmark::DoNotOptimize(NF4Tensor(w, options).view().codes);
  count(state, sizeof(T));
}

template <Stored T>
void dequantise(benchmark::State& state) {
  const NF4Tensor w(random(width, width, 1), {.double_quant = state.range(0) != 0});
  for (auto _ : state) benchmark::DoNotOptimize(decode_as<T>(w).data());
  count(state, sizeof(T));
}

template <bool Packed>
void product(benchmark::State& state) {
  const NF4Tensor packed(random(width, width, 1));
  const auto dense = decode(packed);
  const auto x = random(state.range(0), width, 2);
  for (auto _ : state) {
    if constexpr (Packed) {
      benchmark::DoNotOptimize(linear(x, packed).data());
    } else {
      benchmark::DoNotOptimize(linear(x, dense).data());
    }
  }
  const auto flops = 2.0 * static_cast<double>(state.range(0) * width * width);
  state.counters["flops"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(quantise<float>)->Arg(0)->Arg(1)->ArgName("nested")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(quantise<bfloat16>)->Arg(0)->Arg(1)->ArgName("nested")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(quantise<half>)->Arg(0)->ArgName("nested")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(dequantise<float>)->Arg(0)->Arg(1)->ArgName("nested")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(dequantise<bfloat16>)->Arg(0)->Arg(1)->ArgName("nested")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(product<true>)->Arg(1)->Arg(32)->Arg(512)->ArgName("tokens")->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(product<false>)->Arg(1)->Arg(32)->Arg(512)->ArgName("tokens")->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
