// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu/kernel.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/backend/cpu/eigen.hpp"
#include "veneer/core/random.hpp"

#include "support/catch.hpp"

namespace kernel_test {

using namespace veneer;

namespace {

constexpr double hole = std::numeric_limits<double>::quiet_NaN();

/// A product with its operands: rows as stored are `gap` longer than they need be, and what lies between is NaN.
template <Real T>
struct Problem {
  std::vector<T> a, b, c;
  Gemm<T> gemm;

  Problem(bool transpose_a, bool transpose_b, index_t m, index_t n, index_t k, double alpha, double beta, index_t gap)
      : gemm{.transpose_a = transpose_a, .transpose_b = transpose_b, .m = m, .n = n, .k = k} {
    gemm.alpha = static_cast<T>(alpha), gemm.beta = static_cast<T>(beta);
    gemm.lda = (transpose_a ? m : k) + gap, gemm.ldb = (transpose_b ? k : n) + gap, gemm.ldc = n + gap;
    a = matrix(transpose_a ? k : m, transpose_a ? m : k, gemm.lda, 1);
    b = matrix(transpose_b ? n : k, transpose_b ? k : n, gemm.ldb, 2);
    c = matrix(m, n, gemm.ldc, 3);
    if (beta == 0.0) std::fill(c.begin(), c.end(), static_cast<T>(hole));  // C is not read then
  }

  /// Fresh in C; A and B are shared.
  Gemm<T> into(std::vector<T>& out) const {
    Gemm<T> g = gemm;
    g.a = a.data(), g.b = b.data(), g.c = out.data();
    return g;
  }

  double left(index_t i, index_t p) const { return at(a, gemm.transpose_a ? p * gemm.lda + i : i * gemm.lda + p); }
  double right(index_t p, index_t j) const { return at(b, gemm.transpose_b ? j * gemm.ldb + p : p * gemm.ldb + j); }

  /// What C must hold, and the sum of magnitudes that the rounding error is measured by, by three loops in double.
  double expected(index_t i, index_t j, double& magnitude) const {
    double sum = 0.0;
    magnitude = 0.0;
    for (index_t p = 0; p < gemm.k; ++p) {
      sum += left(i, p) * right(p, j);
      magnitude += std::abs(left(i, p) * right(p, j));
    }
    const double before = gemm.beta == T(0) ? 0.0 : static_cast<double>(gemm.beta) * at(c, i * gemm.ldc + j);
    magnitude = std::abs(static_cast<double>(gemm.alpha)) * magnitude + std::abs(before);
    return static_cast<double>(gemm.alpha) * sum + before;
  }

 private:
  static double at(const std::vector<T>& values, index_t i) {
    return static_cast<double>(values[static_cast<std::size_t>(i)]);
  }
  static std::vector<T> matrix(index_t rows, index_t columns, index_t stride, std::uint64_t seed) {
    std::vector<T> out(static_cast<std::size_t>(rows * stride), static_cast<T>(hole));
    for (index_t i = 0; i < rows * columns; ++i) {
      out[static_cast<std::size_t>(i / columns * stride + i % columns)] =
          static_cast<T>(normal_at({11, seed}, static_cast<std::uint64_t>(i)));
    }
    return out;
  }
};

/// The largest error of rows by columns of C, in units of what k + 2 roundings may cost; infinity where C holds a NaN.
template <Real T>
double error_of(const Problem<T>& problem, const std::vector<T>& found, index_t row, index_t rows, index_t column,
                index_t columns) {
  double largest = 0.0;
  for (index_t i = row; i < row + rows; ++i) {
    for (index_t j = column; j < column + columns; ++j) {
      double magnitude = 0.0;
      const double expected = problem.expected(i, j, magnitude);
      const auto value = static_cast<double>(found[static_cast<std::size_t>(i * problem.gemm.ldc + j)]);
      const double unit = static_cast<double>(problem.gemm.k + 2) * std::numeric_limits<T>::epsilon() / 2.0;
      const double difference = std::abs(value - expected);
      if (difference == 0.0) continue;
      largest = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                       : std::max(largest, difference / (unit * magnitude));
    }
  }
  return largest;
}

/// The same by Eigen.
template <Real T>
void eigen_product(const Gemm<T>& g) {
  const auto a = g.transpose_a ? cpu::as_eigen(g.a, g.k, g.m, g.lda) : cpu::as_eigen(g.a, g.m, g.k, g.lda);
  const auto b = g.transpose_b ? cpu::as_eigen(g.b, g.n, g.k, g.ldb) : cpu::as_eigen(g.b, g.k, g.n, g.ldb);
  cpu::EigenMatrix<T> left = a, right = b;
  if (g.transpose_a) left.transposeInPlace();
  if (g.transpose_b) right.transposeInPlace();
  auto c = cpu::as_eigen(g.c, g.m, g.n, g.ldc);
  if (g.beta == T(0)) c.setZero();
  c = g.alpha * (left * right) + g.beta * c;
}

template <Real T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

struct Extents {
  index_t m, n, k;
};

/// Around the edges of the kernel (6 or 12 rows, one or two vectors), of a slab (256 columns) and of a block (256
/// steps), the skinny products of an adapter, and the few rows of a decoding step.
constexpr Extents ragged[] = {{1, 1, 1},      {5, 3, 2},     {6, 8, 7},     {7, 9, 16},    {12, 16, 31}, {13, 17, 33},
                              {25, 33, 255},  {24, 32, 256}, {61, 16, 257}, {16, 61, 300}, {97, 8, 520}, {8, 257, 40},
                              {40, 260, 513}, {3, 300, 1},   {33, 31, 0},   {1, 39, 515},  {2, 5, 64},   {11, 70, 130}};

template <class F>
void for_each_form(const F& f) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) f(transpose_a, transpose_b);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a tile is the product, in every form and at ragged sizes", "", float, double) {
  using T = TestType;
  for_each_form([](bool transpose_a, bool transpose_b) {
    for (const Extents& e : ragged) {
      for (const double beta : {0.0, 1.0, -0.5}) {
        for (const index_t gap : {0, 5}) {
          const Problem<T> problem(transpose_a, transpose_b, e.m, e.n, e.k, 0.75, beta, gap);
          std::vector<T> kernel = problem.c, eigen = problem.c;
          cpu::tile_product(problem.into(kernel), 0, e.m, 0, e.n);
          eigen_product(problem.into(eigen));
          CAPTURE(transpose_a, transpose_b, e.m, e.n, e.k, beta, gap);
          CHECK(error_of(problem, kernel, 0, e.m, 0, e.n) <= 1.0);
          CHECK(error_of(problem, eigen, 0, e.m, 0, e.n) <= 1.0);
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("a tile writes its own part of C and nothing else", "", float, double) {
  using T = TestType;
  for_each_form([](bool transpose_a, bool transpose_b) {
    for (const Extents& tile : {Extents{1, 1, 0}, Extents{7, 9, 0}, Extents{12, 32, 0}, Extents{25, 17, 0}}) {
      const Problem<T> problem(transpose_a, transpose_b, 40, 50, 270, 1.0, 0.5, 3);
      constexpr index_t row = 6, column = 11;
      std::vector<T> found = problem.c;
      cpu::tile_product(problem.into(found), row, tile.m, column, tile.n);
      CAPTURE(transpose_a, transpose_b, tile.m, tile.n);
      CHECK(error_of(problem, found, row, tile.m, column, tile.n) <= 1.0);
      for (index_t i = row; i < row + tile.m; ++i) {  // put the old values back: then all must be as it was
        const auto begin = static_cast<std::ptrdiff_t>(i * problem.gemm.ldc + column);
        std::copy_n(problem.c.begin() + begin, tile.n, found.begin() + begin);
      }
      CHECK(same_bits(found, problem.c));
    }
  });
}

TEMPLATE_TEST_CASE("without steps, or with alpha 0, C is beta C, and 0 where beta is 0", "", float, double) {
  using T = TestType;
  for (const double beta : {0.0, 1.0, 3.0}) {
    for (const Extents& e : {Extents{7, 9, 0}, Extents{13, 40, 20}}) {
      Problem<T> problem(false, true, e.m, e.n, e.k, 0.0, beta, 0);
      std::fill(problem.a.begin(), problem.a.end(), static_cast<T>(hole));  // A is not read
      std::vector<T> found = problem.c;
      cpu::tile_product(problem.into(found), 0, e.m, 0, e.n);
      index_t right = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        right += found[i] == (beta == 0.0 ? T(0) : static_cast<T>(beta) * problem.c[i]) ? 1 : 0;
      }
      CAPTURE(beta, e.k);
      CHECK(right == e.m * e.n);
    }
  }
}

TEST_CASE("tile_shape gives no empty tile, whatever the extents") {
  for (const index_t m : {1, 16, 63, 64, 65, 512, 2049}) {
    for (const index_t n : {1, 8, 64, 65, 384, 4096}) {
      for (const index_t k : {0, 1, 16, 4096}) {
        const cpu::TileShape shape = cpu::tile_shape(m, n, k);
        CAPTURE(m, n, k, shape.rows, shape.columns);
        CHECK(shape.rows >= 1);
        CHECK(shape.columns >= 1);
      }
    }
  }
}

TEMPLATE_TEST_CASE("a whole product has the same bits at 1, 2, 3 and 4 threads", "", float, double) {
  using T = TestType;
  const int before = Cpu::threads();
  for_each_form([](bool transpose_a, bool transpose_b) {
    for (const Extents& e :
         {Extents{520, 16, 700}, Extents{16, 520, 700}, Extents{700, 530, 16}, Extents{300, 270, 290}}) {
      const Problem<T> problem(transpose_a, transpose_b, e.m, e.n, e.k, 1.5, 1.0, 1);
      std::vector<std::vector<T>> found;
      for (const int threads : {1, 2, 3, 4}) {
        Cpu::set_threads(threads);
        found.push_back(problem.c);
        Cpu{}.gemm(problem.into(found.back()));
      }
      CAPTURE(transpose_a, transpose_b, e.m, e.n, e.k);
      CHECK(error_of(problem, found[0], 0, e.m, 0, e.n) <= 1.0);
      for (std::size_t i = 1; i < found.size(); ++i) CHECK(same_bits(found[i], found[0]));
    }
  });
  Cpu::set_threads(before);
}

}  // namespace kernel_test
