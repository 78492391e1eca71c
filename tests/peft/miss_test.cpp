// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/miss.hpp"

#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace miss_test {

using namespace veneer;

namespace {

constexpr index_t out = 6, in = 11, tokens = 5, rank = 4;

/// F for this rank: column i has its one in row i mod rank.
template <Real T, Backend B>
MissAdapter<B, T> trained(double dropout, index_t columns = out) {
  std::vector<T> fold(static_cast<std::size_t>(rank * in));
  for (index_t i = 0; i < in; ++i) fold[static_cast<std::size_t>((i % rank) * in + i)] = T(1);
  return {Parameter(testing::random_matrix<T, B>(rank, columns, 1)), from_host(Shape<dyn, dyn>(rank, in), fold, B{}),
          out, dropout};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("MiSS adds row i mod rank of its block to column i of the weight", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3);
  for (const index_t columns : {out, index_t(2)}) {
    const auto adapter = trained<double, TestType>(0.0, columns);
    const auto merged = to_host(adapter.merged(w, NoBias{}).weight), base = to_host(w),
               block = to_host(adapter.block.value());
    for (index_t o = 0; o < out; ++o) {
      for (index_t i = 0; i < in; ++i) {
        const auto at = static_cast<std::size_t>(o * in + i),
                   of = static_cast<std::size_t>((i % rank) * columns + o % columns);
        CHECK(merged[at] == base[at] + block[of]);
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of MiSS are those of differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4),
             c = testing::random_matrix<double, TestType>(tokens, out, 6);
  for (const double p : {0.0, 0.4}) {
    auto adapter = trained<double, TestType>(p);
    const auto loss = [&](Tape& tape) { return dot(adapter(w, NoBias{}, tape.input(x)), c); };
    CHECK(testing::largest_slope_error(loss, adapter.block) < 1e-6);
  }
}

}  // namespace miss_test
