// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/low_rank_norm.hpp"

#include <cmath>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace low_rank_norm_test {

using namespace veneer;

namespace {

/// The largest relative error of the factored norms, with the sum formed in double.
template <bool Columns, Real T, Backend B, Scalar U = T>
double error(const Matrix<U, B>& w, const Matrix<T, B>& a, const Matrix<T, B>& b, double s) {
  const auto found = to_host(low_rank_norms<Columns>(w, ops::squared_norms<Columns>(w), a, b, s));
  const auto va = to_host(a), vb = to_host(b);
  const auto vw = to_host(decode(w));
  const auto out = static_cast<std::size_t>(b.extent(0)), in = static_cast<std::size_t>(a.extent(1)),
             rank = static_cast<std::size_t>(a.extent(0));
  double worst = 0.0;
  for (std::size_t o = 0; o < out; ++o) {
    double square = 0.0;
    for (std::size_t i = 0; i < in; ++i) {
      double x = 0.0;
      for (std::size_t k = 0; k < rank; ++k)
        x += static_cast<double>(vb[o * rank + k]) * static_cast<double>(va[k * in + i]);
      x = static_cast<double>(vw[Columns ? i * out + o : o * in + i]) + s * x;
      square += x * x;
    }
    const double norm = std::sqrt(square);
    worst = std::max(worst, std::abs(static_cast<double>(found[o]) - norm) / std::max(norm, 1e-30));
  }
  return worst;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("norms without the sum are the norms of the sum", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t rank : {1, 3, 20}) {
    for (const double s : {0.0, 0.5, -4.0}) {
      CAPTURE(rank, s);
      const auto w = testing::random_matrix<float, TestType>(33, 70, 1),
                 a = testing::random_matrix<float, TestType>(rank, 70, 2);
      const auto b = testing::random_matrix<float, TestType>(33, rank, 3);
      CHECK(error<false>(w, a, b, s) < 2e-6);
      const auto table = testing::random_matrix<float, TestType>(70, 33, 1);
      CHECK(error<true>(table, a, b, s) < 2e-6);
      CHECK(error<false>(convert<bfloat16>(w), a, b, s) < 2e-6);
      const auto wide = testing::random_matrix<double, TestType>(33, 70, 1);
      CHECK(error<false>(wide, convert<double>(a), convert<double>(b), s) < 1e-14);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a change that takes nearly all of a row away leaves its norm exact", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  // Rank 1: row o of w is b_o a up to a part in 10^depth; the three terms cancel to the square of that.
  const auto a = testing::random_matrix<float, TestType>(1, 64, 2),
             b = testing::random_matrix<float, TestType>(9, 1, 3);
  for (const double rest : {0.5, 1e-1, 1e-2, 1e-3}) {
    CAPTURE(rest);
    auto w = testing::random_matrix<float, TestType>(9, 64, 1, rest);
    ops::matmul<false, false>(w, b, a, -1.0, 1.0);
    CHECK(error<false>(w, a, b, 1.0) < 1e-5);
    auto table = testing::random_matrix<float, TestType>(64, 9, 1, rest);
    ops::matmul<true, true>(table, a, b, -1.0, 1.0);
    CHECK(error<true>(table, a, b, 1.0) < 1e-5);
  }
}

}  // namespace low_rank_norm_test
