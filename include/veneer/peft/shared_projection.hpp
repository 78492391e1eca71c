// SPDX-License-Identifier: Apache-2.0
/// \file shared_projection.hpp
/// SharedProjection: one frozen random pair A, B for all modules of an adapter, whatever their sizes.
///
///   A: (rank, largest in)   B: (largest out, rank)   a module uses the first columns of A, the first rows of B
/// Uniform with bounds sqrt(6 / in) and sqrt(6 / rank), A first, from one Mersenne Twister: the same bits as from
/// PyTorch's CPU generator for the same key, so that an adapter saved without A and B is read correctly. He et al.,
/// arXiv:1502.01852, eq. 10; Matsumoto and Nishimura, ACM TOMACS 8 (1998).
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "veneer/ops/gather.hpp"

namespace veneer {

template <Real T, Backend B>
struct SharedProjection {
  Matrix<T, B> a, b;
  bool saved = true;  // whether it is in the adapter's file

  SharedProjection(index_t rank, index_t out, index_t in, index_t key, bool in_file, bool values, B device)
      : a(Shape<dyn, dyn>(rank, in), device, nullptr), b(Shape<dyn, dyn>(out, rank), device, nullptr), saved(in_file) {
    if (!values) return;
    std::mt19937 bits(static_cast<std::mt19937::result_type>(static_cast<std::uint64_t>(key) & 0xffffffffu));
    a = drawn(a.shape(), bits, in, device);
    b = drawn(b.shape(), bits, rank, device);
  }

  /// Returns the first `in` columns of A; a copy if A has more.
  Matrix<T, B> down(index_t in) const {
    if (in == a.extent(1)) return a;
    return column_range(a, 0, in);
  }
  /// Returns the first `out` rows of B: a view.
  Matrix<T, B> up(index_t out) const { return b.rows(0, out); }

 private:
  static Matrix<T, B> drawn(Shape<dyn, dyn> shape, std::mt19937& bits, index_t fan, const B& device) {
    const double bound = std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(static_cast<double>(fan)));
    const float low = static_cast<float>(-bound), width = static_cast<float>(bound) - low;
    std::vector<T> values(static_cast<std::size_t>(shape.count()));
    for (T& value : values) {
      const auto share = static_cast<float>(bits() & 0xffffffu) * 0x1p-24f;  // 24 bits, as in a float
      value = static_cast<T>(std::fma(share, width, low));
    }
    return from_host(shape, values, device);
  }
};

}  // namespace veneer
