// SPDX-License-Identifier: Apache-2.0
/// \file matmul.cpp
/// matmul THREADS: times one matmul for each line on stdin, for matmul.py.
///
///   m n k float32|bfloat16|nf4 T|N     y = x wᵀ (T) or y = x w (N)    x: (m, k)   y: (m, n)
///   nf4: x and y in bfloat16, w in 4 bits
///   peak float32|bfloat16              the kernel alone, with operands in the L1 cache, on one thread
/// The output is the GFLOP/s of one run for each. The first output line names the kernels in use.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "veneer/backend/cpu.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace {

using namespace veneer;

template <class F>
double gigaflops(double flops, const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return flops / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / 1e9;
}

template <Stored E>
double peak(const cpu::Panel<E>& panel) {
  if (panel.run == nullptr) return 0.0;
  constexpr index_t times = 20000;
  const index_t steps = panel.depth;
  auto a = zeros<E>(Shape<dyn>(panel.rows * steps), Cpu{}), b = zeros<E>(Shape<dyn>(panel.columns * steps), Cpu{});
  auto c = zeros<compute_t<E>>(Shape<dyn>(panel.rows * panel.columns), Cpu{});
  cpu::Block<E> block{.steps = steps, .a = a.data(), .b = b.data(), .b_step = panel.columns};
  block.a_row = panel.chunk, block.a_chunk = panel.rows * panel.chunk;
  block.c = c.data(), block.c_stride = panel.columns, block.rows = panel.rows, block.columns = panel.columns;
  if (panel.enter != nullptr) panel.enter();
  const double found = gigaflops(2.0 * static_cast<double>(times * panel.rows * panel.columns * steps), [&] {
    for (index_t i = 0; i < times; ++i) panel.run(block);
  });
  if (panel.leave != nullptr) panel.leave();
  return found;
}

/// The matmuls of one line, with operands created once.
class Products {
 public:
  double run(const std::string& line) {
    std::istringstream words(line);
    index_t m = 0, n = 0, k = 0;
    std::string storage, form;
    words >> m >> n >> k >> storage >> form;
    const bool turned = form == "T";
    const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    if (storage == "float32") {
      const auto x = cached<float>(m, k, 1), w = cached<float>(turned ? n : k, turned ? k : n, 2);
      return time(flops, turned, x, w, n);
    }
    const auto x = cached<bfloat16>(m, k, 1);
    if (storage == "bfloat16") return time(flops, turned, x, cached<bfloat16>(turned ? n : k, turned ? k : n, 2), n);
    auto& packed = packed_[line];
    if (!packed) packed = NF4Tensor<Shape<dyn, dyn>, Cpu>(cached<float>(turned ? n : k, turned ? k : n, 2));
    return time(flops, turned, x, packed, n);
  }

 private:
  template <Stored T>
  static Matrix<T, Cpu> cached(index_t rows, index_t columns, std::uint64_t stream) {
    static std::map<std::tuple<index_t, index_t, std::uint64_t>, Matrix<T, Cpu>> made;
    auto& tensor = made[{rows, columns, stream}];
    if (!tensor) {
      tensor = convert<T>(uniform<float>(Shape<dyn, dyn>(rows, columns), RandomStream{3, stream}, -1.0f, 1.0f, Cpu{}));
    }
    return tensor;
  }

  template <class X, class W>
  static double time(double flops, bool turned, const X& x, const W& w, index_t n) {
    X y(Shape<dyn, dyn>(x.extent(0), n));
    return gigaflops(flops, [&] {
      if (turned) {
        ops::matmul<false, true>(y, x, w);
      } else {
        ops::matmul<false, false>(y, x, w);
      }
    });
  }

  std::map<std::string, NF4Tensor<Shape<dyn, dyn>, Cpu>> packed_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: matmul THREADS\n";
    return 2;
  }
  try {
    Cpu::set_threads(std::atoi(argv[1]));
    std::cout << cpu::kernels().name << std::endl;
    Products products;
    for (std::string line; std::getline(std::cin, line);) {
      if (line == "peak float32") {
        std::cout << peak(cpu::kernels().float32) << std::endl;
      } else if (line == "peak bfloat16") {
        std::cout << peak(cpu::kernels().bfloat16_pairs) << std::endl;
      } else {
        std::cout << products.run(line) << std::endl;
      }
    }
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << "matmul: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}
