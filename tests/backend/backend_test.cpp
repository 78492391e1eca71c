// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "veneer/backend/concept.hpp"
#include "veneer/core/random.hpp"

#include "support/backends.hpp"

namespace backend_test {

using namespace veneer;

namespace {

struct CountBody {
  std::int32_t* count;
  VENEER_HD void operator()(index_t i) const { count[i] += 1; }
};

/// Adds 1 at (r, c) of a matrix whose rows are `stride` apart.
struct CountCellBody {
  std::int32_t* count;
  index_t stride;
  VENEER_HD void operator()(index_t r, index_t c) const { count[r * stride + c] += 1; }
};

struct IncrementBody {
  float* x;
  VENEER_HD void operator()(index_t i) const { x[i] = x[i] * 2.0f + 1.0f; }
};

template <class T>
struct MatrixLoad {
  const T* x;
  index_t columns;
  VENEER_HD T operator()(index_t r, index_t c) const { return x[r * columns + c]; }
};

/// Values in (-1, 1) that depend on `seed` alone.
template <class T>
std::vector<T> values(index_t count, std::uint64_t seed) {
  std::vector<T> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(2.0f * uniform_at({seed, 0}, i) - 1.0f);
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("for_each calls its body once an index, whatever the cost", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  constexpr index_t beyond = 64;  // indices beyond the end, which must not change
  for (const index_t count : {0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 513, 1000, 16384, 16385, 100003}) {
    for (const index_t cost : {1, 7, 5000, 1000000}) {
      const auto counts =
          testing::upload(device, std::vector<std::int32_t>(static_cast<std::size_t>(count + beyond), 7));
      device.for_each(count, CountBody{counts.get()}, cost);
      auto expected = std::vector<std::int32_t>(static_cast<std::size_t>(count), 8);
      expected.resize(expected.size() + beyond, 7);
      CAPTURE(count, cost);
      CHECK(testing::download(device, counts, count + beyond) == expected);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("for_each over two extents calls its body once per row and column, whatever the cost", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const index_t rows : {0, 1, 2, 17, 300, 70001}) {
    for (const index_t columns : {0, 1, 3, 64, 257, 20000}) {
      if (rows * columns > 2000000) continue;
      for (const index_t cost : {1, 5000}) {
        const index_t stride = columns + 2, count = rows * stride + 2;  // the last two columns must not change
        const auto counts = testing::upload(device, std::vector<std::int32_t>(static_cast<std::size_t>(count), 7));
        device.for_each(rows, columns, CountCellBody{counts.get(), stride}, cost);
        std::vector<std::int32_t> expected(static_cast<std::size_t>(count), 7);
        for (index_t i = 0; i < rows * stride; ++i) expected[static_cast<std::size_t>(i)] += i % stride < columns;
        CAPTURE(rows, columns, cost);
        CHECK((testing::download(device, counts, count) == expected));
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("work is done in the order in which it is handed out", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  const TestType copy = device;
  constexpr index_t count = 5000;
  const auto x = testing::upload(device, std::vector<float>(count, 0.0f));
  for (int step = 0; step < 20; ++step) (step % 2 == 0 ? device : copy).for_each(count, IncrementBody{x.get()});
  device.synchronize();
  CHECK(testing::download(device, x, count) == std::vector<float>(count, 1048575.0f));  // 2^20 - 1
}

TEMPLATE_LIST_TEST_CASE("values come back from the device as they went in", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  const auto returns = [&](auto sample) {
    using T = decltype(sample);
    for (const index_t count : {0, 1, 3, 1000, 300000}) {
      std::vector<T> host(static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<T>(static_cast<float>(i % 251) - 100.0f);
      const std::vector<T> kept = host;
      const auto there = testing::upload(device, host);
      std::fill(host.begin(), host.end(), T(0));  // the device has its own copy
      CAPTURE(count, scalar_name<T>());
      CHECK(there != nullptr);
      CHECK(same_bits(testing::download(device, there, count), kept));
    }
  };
  returns(float{});
  returns(double{});
  returns(bfloat16{});
  returns(veneer::half{});
  returns(std::int32_t{});
  returns(std::int64_t{});
  CHECK_THROWS_AS(device.template allocate<float>(-1), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("blocks in use at one time do not overlap", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  std::vector<std::shared_ptr<std::int32_t>> blocks;
  const auto filled = [](std::size_t i) { return std::vector<std::int32_t>(i * 37, static_cast<std::int32_t>(i)); };
  for (std::size_t i = 0; i < 60; ++i) blocks.push_back(testing::upload(device, filled(i)));
  for (std::size_t i = 0; i < 60; i += 2) blocks[i].reset();
  for (std::size_t i = 0; i < 60; i += 2) blocks[i] = testing::upload(device, filled(i));
  for (std::size_t i = 0; i < 60; ++i) {
    CAPTURE(i);
    CHECK(testing::download(device, blocks[i], static_cast<index_t>(i * 37)) == filled(i));
  }
}

namespace {

/// Reduces every row with the monoid, and compares with `expect(row)`, a plain loop.
template <class Monoid, Backend B, class T, class Expect>
void check_rows(const B& device, index_t rows, index_t columns, const std::vector<T>& x, const Expect& expect) {
  using R = typename Monoid::value_type;
  const auto there = testing::upload(device, x);
  const auto out = testing::upload(device, std::vector<R>(static_cast<std::size_t>(rows + 1), R(-77)));
  device.reduce_rows(Monoid{}, rows, columns, MatrixLoad<T>{there.get(), columns}, out.get());
  const std::vector<R> found = testing::download(device, out, rows + 1);
  index_t wrong = 0;
  for (index_t r = 0; r < rows; ++r) {
    const T* row = x.data() + r * columns;
    if (!expect(found[static_cast<std::size_t>(r)], row)) ++wrong;
  }
  CAPTURE(rows, columns);
  CHECK(wrong == 0);
  CHECK(found.back() == R(-77));  // nothing is written past the last row
}

constexpr index_t row_counts[] = {0, 1, 2, 5, 300};
constexpr index_t column_counts[] = {0, 1, 2, 15, 16, 17, 31, 33, 64, 255, 256, 257, 1000};

}  // namespace

TEMPLATE_LIST_TEST_CASE("reduce_rows sums as a plain loop does", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  const auto sums = [&](auto sample, index_t rows, index_t columns) {
    using T = decltype(sample);
    const auto close = [columns](T found, const T* row) {
      double sum = 0.0, size = 0.0;
      for (index_t c = 0; c < columns; ++c) {
        sum += static_cast<double>(row[c]);
        size += std::abs(static_cast<double>(row[c]));
      }
      // the bound of any order of additions, and of this loop's own
      const double bound =
          static_cast<double>(columns) * size *
          (static_cast<double>(std::numeric_limits<T>::epsilon()) + std::numeric_limits<double>::epsilon());
      return std::abs(static_cast<double>(found) - sum) <= bound;
    };
    check_rows<Sum<T>>(device, rows, columns, values<T>(rows * columns, 11), close);
  };
  for (const index_t rows : row_counts) {
    for (const index_t columns : column_counts) {
      sums(float{}, rows, columns);
      sums(double{}, rows, columns);
    }
  }
  for (const index_t columns : {8192, 16384, 16385, 24576, 70001, 1000003}) {  // a loss over many tokens
    sums(float{}, 1, columns);
    sums(double{}, 1, columns);
  }
  sums(float{}, 3, 70001);
  sums(float{}, 255, 20000);
  sums(float{}, 40000, 3);
}

TEMPLATE_LIST_TEST_CASE("sums of small whole numbers are exact, in double of float too", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const index_t rows : {1, 7}) {
    for (const index_t columns : {1, 17, 1000, 33333, 500000}) {
      std::vector<float> x(static_cast<std::size_t>(rows * columns));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 7919) % 31) - 12.0f;
      const auto exact = [columns](auto found, const float* row) {
        double sum = 0.0;
        for (index_t c = 0; c < columns; ++c) sum += static_cast<double>(row[c]);
        return static_cast<double>(found) == sum;
      };
      check_rows<Sum<float>>(device, rows, columns, x, exact);
      check_rows<Sum<double>>(device, rows, columns, x, exact);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("reduce_rows finds the largest value, minus infinity in an empty row", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  const auto largest = [&](index_t rows, index_t columns, const std::vector<float>& x) {
    check_rows<Maximum<float>>(device, rows, columns, x, [columns](float found, const float* row) {
      float expected = -std::numeric_limits<float>::infinity();
      for (index_t c = 0; c < columns; ++c) expected = std::max(expected, row[c]);
      return found == expected;
    });
  };
  for (const index_t rows : row_counts) {
    for (const index_t columns : column_counts) {
      std::vector<float> x = values<float>(rows * columns, 5);
      for (float& value : x) value -= 3.0f;  // all below 0: an identity of 0 would show
      largest(rows, columns, x);
    }
  }
  largest(1, 200000, values<float>(200000, 6));
  largest(2, 3, {-INFINITY, -INFINITY, -INFINITY, 1.0f, INFINITY, -2.0f});
  for (const std::size_t at : {0u, 1u, 40u, 98u, 99u}) {
    std::vector<float> x = values<float>(100, 7);
    x[at] = NAN;
    check_rows<Maximum<float>>(device, 1, 100, x, [](float found, const float*) { return std::isnan(found); });
  }
}

TEMPLATE_LIST_TEST_CASE("the least body and the least load are enough", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  device.for_each(10, archetype::Body{});
  device.for_each(3, 7, archetype::RowBody{});
  const auto out = testing::upload(device, std::vector<float>(4, 5.0f));
  device.reduce_rows(Sum<float>{}, 4, 9, archetype::Load{}, out.get());
  CHECK(testing::download(device, out, 4) == std::vector<float>(4, 0.0f));
}

TEMPLATE_LIST_TEST_CASE("the same work gives the same bits again", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  constexpr index_t n = 192, long_row = 300001;
  const auto x = testing::upload(device, values<float>(n * n, 1));
  const auto y = testing::upload(device, values<float>(long_row, 2));
  std::vector<float> first_product, first_sum;
  for (int round = 0; round < 5; ++round) {
    const auto z = device.template allocate<float>(n * n);
    const auto sum = device.template allocate<float>(1);
    device.gemm(Gemm<float>{false, true, n, n, n, 1.0f, x.get(), n, x.get(), n, 0.0f, z.get(), n, 1, 0, 0, 0});
    device.reduce_rows(Sum<float>{}, 1, long_row, MatrixLoad<float>{y.get(), long_row}, sum.get());
    const auto product = testing::download(device, z, n * n), total = testing::download(device, sum, 1);
    if (round == 0) first_product = product, first_sum = total;
    CHECK(same_bits(product, first_product));
    CHECK(same_bits(total, first_sum));
  }
}

namespace {

/// A matmul to check: extents, factors, and offsets of rows, batches and the first element.
struct Case {
  index_t m = 1, n = 1, k = 1;
  double alpha = 1.0, beta = 0.0;
  index_t padding = 0;  // added to every leading dimension
  index_t batch = 1;
  index_t offset = 0;         // of every first element
  bool shared_b = false;      // one B for the whole batch
  bool unset_result = false;  // C initially contains NaN
};

template <class T>
struct Operands {
  Gemm<T> problem;  // pointers not set
  std::vector<T> a, b, c;

  Operands(const Case& shape, bool transpose_a, bool transpose_b) {
    problem.transpose_a = transpose_a, problem.transpose_b = transpose_b;
    problem.m = shape.m, problem.n = shape.n, problem.k = shape.k;
    problem.alpha = static_cast<T>(shape.alpha), problem.beta = static_cast<T>(shape.beta);
    problem.lda = (transpose_a ? shape.m : shape.k) + shape.padding;
    problem.ldb = (transpose_b ? shape.k : shape.n) + shape.padding;
    problem.ldc = shape.n + shape.padding;
    problem.batch = shape.batch;
    problem.stride_a = problem.lda * (transpose_a ? shape.k : shape.m) + 2 * shape.padding;
    problem.stride_b = shape.shared_b ? 0 : problem.ldb * (transpose_b ? shape.n : shape.k) + shape.padding;
    problem.stride_c = problem.ldc * shape.m + shape.padding;
    a = values<T>(shape.offset + problem.stride_a * shape.batch + 1, 21);
    b = values<T>(
        shape.offset + problem.ldb * (transpose_b ? shape.n : shape.k) + problem.stride_b * (shape.batch - 1) + 1, 22);
    c = values<T>(shape.offset + problem.stride_c * shape.batch + 1, 23);
    if (shape.unset_result) std::fill(c.begin(), c.end(), std::numeric_limits<T>::quiet_NaN());
  }
};

/// Returns the number of elements of `found`, C after the matmul, that differ from the definition by more than
/// rounding; one more if memory outside C changed.
template <class T>
index_t wrong_elements(const Operands<T>& before, const std::vector<T>& found, index_t offset) {
  const Gemm<T>& p = before.problem;
  std::vector<T> untouched = before.c;
  index_t wrong = 0;
  for (index_t i = 0; i < p.batch; ++i) {
    const T* a = before.a.data() + offset + i * p.stride_a;
    const T* b = before.b.data() + offset + i * p.stride_b;
    for (index_t row = 0; row < p.m; ++row) {
      for (index_t column = 0; column < p.n; ++column) {
        double sum = 0.0, size = 0.0;
        for (index_t j = 0; j < p.k; ++j) {
          const double term = static_cast<double>(p.transpose_a ? a[j * p.lda + row] : a[row * p.lda + j]) *
                              static_cast<double>(p.transpose_b ? b[column * p.ldb + j] : b[j * p.ldb + column]);
          sum += term, size += std::abs(term);
        }
        const auto place = static_cast<std::size_t>(offset + i * p.stride_c + row * p.ldc + column);
        sum *= static_cast<double>(p.alpha), size *= std::abs(static_cast<double>(p.alpha));
        if (p.beta != T(0)) {
          sum += static_cast<double>(p.beta) * static_cast<double>(before.c[place]);
          size += std::abs(static_cast<double>(p.beta) * static_cast<double>(before.c[place]));
        }
        const double bound =
            static_cast<double>(p.k + 4) * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
        if (!(std::abs(static_cast<double>(found[place]) - sum) <= bound)) ++wrong;
        untouched[place] = found[place];
      }
    }
  }
  return wrong + (same_bits(found, untouched) ? 0 : 1);
}

template <class T, Backend B>
void check_product(const B& device, const Case& shape) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      Operands<T> operands(shape, transpose_a, transpose_b);
      const auto a = testing::upload(device, operands.a), b = testing::upload(device, operands.b),
                 c = testing::upload(device, operands.c);
      Gemm<T> problem = operands.problem;
      problem.a = a.get() + shape.offset, problem.b = b.get() + shape.offset, problem.c = c.get() + shape.offset;
      device.gemm(problem);
      const auto found = testing::download(device, c, static_cast<index_t>(operands.c.size()));
      CAPTURE(scalar_name<T>(), shape.m, shape.n, shape.k, shape.alpha, shape.beta, shape.padding, shape.batch,
              shape.offset, transpose_a, transpose_b);
      CHECK(wrong_elements(operands, found, shape.offset) == 0);
    }
  }
}

template <Backend B>
void check_products(const B& device, const Case& shape) {
  check_product<float>(device, shape);
  check_product<double>(device, shape);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("gemm is C = alpha op(A) op(B) + beta C", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const auto& [m, n, k] : {std::array<index_t, 3>{1, 1, 1}, {2, 3, 4}, {17, 5, 31}, {64, 64, 64}, {65, 130, 33}}) {
    for (const auto& [alpha, beta] : {std::pair<double, double>{1.0, 0.0}, {0.5, 1.0}, {-2.0, 0.25}, {0.0, 3.0}}) {
      for (const index_t padding : {0, 3}) {
        for (const index_t batch : {1, 3}) {
          Case shape{.m = m, .n = n, .k = k};
          shape.alpha = alpha, shape.beta = beta, shape.padding = padding, shape.batch = batch;
          check_products(device, shape);
        }
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("gemm of shapes that are cut into tiles", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  check_product<float>(device, {.m = 600, .n = 1100, .k = 9});
  check_product<float>(device, {.m = 2050, .n = 70, .k = 12, .beta = 1.0});
  check_product<float>(device, {.m = 70, .n = 2050, .k = 12, .alpha = 0.5});
  check_product<float>(device, {.m = 90, .n = 100, .k = 1500});
  check_product<double>(device, {.m = 300, .n = 300, .k = 40, .beta = 0.5});
}

TEMPLATE_LIST_TEST_CASE("gemm of the skinny shapes of adapters", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const index_t rank : {1, 2, 3, 8, 16, 33, 64}) {
    check_product<float>(device, {.m = 77, .n = rank, .k = 200});                             // x aᵀ
    check_product<float>(device, {.m = 77, .n = 200, .k = rank, .alpha = 2.0, .beta = 1.0});  // + z bᵀ
    check_product<float>(device, {.m = rank, .n = 200, .k = 77, .padding = 1});               // gradients
    check_products(device, {.m = rank, .n = 1, .k = 50});
    check_products(device, {.m = 1, .n = rank, .k = 50});
  }
}

TEMPLATE_LIST_TEST_CASE("gemm of batches: many small products, one operand for all, odd addresses", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  check_products(device, {.m = 3, .n = 4, .k = 5, .batch = 500});
  check_products(device, {.m = 20, .n = 30, .k = 10, .beta = 1.0, .batch = 9, .shared_b = true});
  check_products(device, {.m = 20, .n = 30, .k = 10, .batch = 4, .offset = 1});
  check_products(device, {.m = 33, .n = 64, .k = 32, .padding = 1, .offset = 3});
}

TEMPLATE_LIST_TEST_CASE("gemm with beta = 0 does not read C", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const index_t k : {0, 1, 40}) {
    check_products(device, {.m = 30, .n = 20, .k = k, .padding = 2, .batch = 2, .unset_result = true});
    check_products(device, {.m = 130, .n = 8, .k = k, .unset_result = true});
  }
}

TEMPLATE_LIST_TEST_CASE("gemm over no terms scales C, and without rows or columns changes nothing", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const TestType device;
  for (const double beta : {0.0, 1.0, -0.5}) {
    check_products(device, {.m = 7, .n = 9, .k = 0, .beta = beta, .padding = 2, .batch = 3});
    check_products(device, {.m = 0, .n = 9, .k = 4, .beta = beta, .padding = 2});
    check_products(device, {.m = 7, .n = 0, .k = 4, .beta = beta, .padding = 2});
    check_products(device, {.m = 0, .n = 0, .k = 0, .beta = beta});
  }
}

}  // namespace backend_test
