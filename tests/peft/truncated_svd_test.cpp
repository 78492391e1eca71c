// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/truncated_svd.hpp"

#include "veneer/core/random.hpp"

#include "support/catch.hpp"

namespace truncated_svd_test {

using namespace veneer;

namespace {

HostMatrix random(index_t rows, index_t columns, std::uint64_t seed) {
  HostMatrix x(rows, columns);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = normal_at({seed, 1}, i);
  return x;
}

double distance(const HostMatrix& x, const HostMatrix& y) {
  double sum = 0.0;
  for (std::size_t i = 0; i < x.values.size(); ++i) sum += (x.values[i] - y.values[i]) * (x.values[i] - y.values[i]);
  return std::sqrt(sum);
}

/// How far the rows are from being orthogonal and of length 1.
double skewness(const HostMatrix& rows) {
  return distance(matmul(rows, transposed(rows)), detail::identity(rows.rows));
}

}  // namespace

TEST_CASE("a matrix is its own best approximation of full rank, and the remainder is what was left out") {
  for (const auto& [rows, columns] : {std::pair<index_t, index_t>{5, 9}, {9, 5}, {6, 6}, {1, 4}, {4, 1}}) {
    INFO(rows << " x " << columns);
    const HostMatrix m = random(rows, columns, 3);
    const index_t full = std::min(rows, columns);
    for (index_t rank = 1; rank <= full; ++rank) {
      const TruncatedSvd svd = truncated_svd(m, rank);
      REQUIRE(static_cast<index_t>(svd.singular.size()) == full);
      double rest = 0.0;  // Eckart and Young: the distance is the norm of the values that are left out
      for (std::size_t i = static_cast<std::size_t>(rank); i < svd.singular.size(); ++i)
        rest += svd.singular[i] * svd.singular[i];
      CHECK(distance(matmul(svd.up, svd.down), m) == Approx(std::sqrt(rest)).margin(1e-12));
      CHECK(skewness(svd.down) < 1e-12);
      for (std::size_t i = 1; i < svd.singular.size(); ++i) CHECK(svd.singular[i] <= svd.singular[i - 1]);
    }
  }
}

TEST_CASE("a product is decomposed as the matrix that it is") {
  for (const index_t inner : {1, 3, 8}) {
    const HostMatrix up = random(12, inner, 1), down = random(inner, 8, 2);
    const HostMatrix m = matmul(up, down);
    for (const index_t rank : {1, 2, 5}) {
      const TruncatedSvd apart = truncated_svd(up, down, rank), whole = truncated_svd(m, rank);
      CHECK(distance(matmul(apart.up, apart.down), matmul(whole.up, whole.down)) < 1e-10);
      CHECK(apart.singular[0] == Approx(whole.singular[0]).epsilon(1e-12));
    }
  }
  CHECK_THROWS_AS(truncated_svd(random(2, 3, 1), random(2, 3, 1), 1), ShapeError);
}

TEST_CASE("rank beyond the matrix is zeros, and zeros are no directions") {
  const TruncatedSvd none = truncated_svd(HostMatrix(3, 4), 2);
  CHECK(none.up.values == std::vector<double>(6, 0.0));
  CHECK(none.down.values == std::vector<double>(8, 0.0));
  const HostMatrix up = random(4, 1, 1), down = random(1, 5, 2);
  const TruncatedSvd wide = truncated_svd(up, down, 3);
  CHECK(distance(matmul(wide.up, wide.down), matmul(up, down)) < 1e-12);
  for (index_t c = 0; c < 5; ++c) CHECK(wide.down.at(2, c) == 0.0);
  CHECK_THROWS_AS(truncated_svd(up, 0), ArgumentError);
}

}  // namespace truncated_svd_test
