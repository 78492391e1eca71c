// SPDX-License-Identifier: Apache-2.0
/// \file decomposition.hpp
/// Decomposer: the interface of decompositions of a matrix on the host, without the library that computes them.
///
///   w ~ left diag(values) right      w: (rows, columns)   left: (rows, rank)   values: (rank)   right: (rank, columns)
/// peft/init/decompose.hpp computes them and registers itself in decomposer() if any source file of a program includes
/// it: only this file takes the compile time, and attach and load_adapter work in all files.
#pragma once

#include <string>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/random.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

/// A row-major matrix of double on the host.
struct HostMatrix {
  index_t rows = 0, columns = 0;
  std::vector<double> values;
};

struct Decomposition {
  HostMatrix left;
  std::vector<double> values;  // descending; none if they are included in `right`
  HostMatrix right;
};

/// The decompositions, each to a rank of at most min(rows, columns), on one thread, so that the bits do not depend on
/// the number of threads.
struct Decomposer {
  Decomposition (*svd)(const HostMatrix& w, index_t rank);
  Decomposition (*fast_svd)(const HostMatrix& w, index_t rank, index_t iterations, RandomStream source);
  Decomposition (*qr)(const HostMatrix& w, index_t rank);
};

/// Returns the decompositions of this program; null if no source file includes veneer/peft/init.hpp.
inline const Decomposer*& decomposer() {
  static const Decomposer* installed = nullptr;
  return installed;
}

namespace detail {

/// \throws ArgumentError with the header to include
inline const Decomposer& needed_decomposer(const std::string& init) {
  expects(decomposer() != nullptr, "veneer::attach: init_lora_weights \"" + init +
                                       "\" decomposes matrices: include veneer/peft/init.hpp in one source file of "
                                       "the program");
  return *decomposer();
}

template <Real T, ShapeLike S, Backend B>
HostMatrix to_host_matrix(const Tensor<T, S, B>& x) {
  const std::vector<T> values = to_host(x);
  return {x.extent(0), x.extent(1), {values.begin(), values.end()}};
}

template <Real T, Backend B>
Matrix<T, B> from_host_matrix(const HostMatrix& x, const B& device) {
  std::vector<T> values(x.values.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(x.values[i]);
  return from_host(Shape<dyn, dyn>(x.rows, x.columns), values, device);
}

}  // namespace detail

}  // namespace veneer
