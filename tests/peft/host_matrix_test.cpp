// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/host_matrix.hpp"

#include "veneer/backend/cpu.hpp"
#include "veneer/core/random.hpp"

#include "support/catch.hpp"

namespace host_matrix_test {

using namespace veneer;

namespace {

HostMatrix random(index_t rows, index_t columns, std::uint64_t seed) {
  HostMatrix x(rows, columns);
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = normal_at({seed, 1}, i);
  return x;
}

}  // namespace

TEST_CASE("a transposed matmul is the matmul of the transposed operands in the other order, to the bit") {
  const HostMatrix x = random(3, 5, 1), y = random(5, 4, 2);
  CHECK(transposed(matmul(x, y)).values == matmul(transposed(y), transposed(x)).values);
  CHECK(transposed(transposed(x)).values == x.values);
  CHECK(matmul(HostMatrix(1, 2, {1, 2}), HostMatrix(2, 2, {3, 4, 5, 6})).values == std::vector<double>{13, 16});
}

TEST_CASE("a matrix on a device and back has the same values, rounded to the type there") {
  const HostMatrix x = random(3, 5, 3);
  CHECK(to_host_matrix(from_host_matrix<double>(x, Cpu{})).values == x.values);
  const HostMatrix rounded = to_host_matrix(from_host_matrix<float>(x, Cpu{}));
  CHECK(rounded.rows == 3);
  CHECK(rounded.columns == 5);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    CHECK(rounded.values[i] == static_cast<double>(static_cast<float>(x.values[i])));
}

}  // namespace host_matrix_test
