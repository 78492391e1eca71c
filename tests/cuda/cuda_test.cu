// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>
#include <thread>
#include <type_traits>
#include <vector>

#include "veneer/backend/cuda.hpp"
#include "veneer/tensor/factory.hpp"

#include "support/backends.hpp"

using namespace veneer;

namespace {

struct AddOneBody {
  float* x;
  VENEER_HD void operator()(index_t i) const { x[i] += 1.0f; }
};

}  // namespace

static_assert(Backend<Cuda>);
static_assert(std::is_trivially_copyable_v<Cuda> && sizeof(Cuda) == sizeof(void*));

TEST_CASE("handles and tensors without values need no device") {
  const Cuda device;
  const Cuda copy = device;
  CHECK(copy.device() == 0);
  CHECK(Cuda::device_count() >= 0);
  CHECK(Cuda::available() == (Cuda::device_count() > 0));
  const Matrix<float, Cuda> none;
  CHECK_FALSE(none);
  device.copy_in(static_cast<float*>(nullptr), static_cast<const float*>(nullptr), 0);
  device.for_each(0, AddOneBody{nullptr});
  device.gemm(Gemm<float>{.m = 0, .n = 3, .k = 3});
}

TEST_CASE("a device that is not there is an exception that says what to do") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_AS(Cuda(Cuda::device_count()), BackendError);
  CHECK_THROWS_AS(Cuda(-1), BackendError);
  CHECK_THROWS_WITH(Cuda(Cuda::device_count()), Contains("veneer::Cpu"));
  CHECK_THROWS_AS(Cuda{}.allocate<float>(-1), ShapeError);
  CHECK_THROWS_AS(Cuda{}.allocate<double>(std::numeric_limits<index_t>::max()), MemoryError);
  if (!Cuda::available()) CHECK_THROWS_AS(Cuda{}.allocate<float>(1), BackendError);
}

TEST_CASE("statuses become exceptions that name the call, the error and a remedy") {
  using Catch::Matchers::Contains;
  CHECK_NOTHROW(gpu::check(cudaSuccess, "copy"));
  CHECK_NOTHROW(gpu::check(CUBLAS_STATUS_SUCCESS, "gemm"));
  CHECK_THROWS_AS(gpu::check(cudaErrorMemoryAllocation, "copy"), MemoryError);
  CHECK_THROWS_AS(gpu::check(cudaErrorLaunchFailure, "copy"), BackendError);
  CHECK_THROWS_AS(gpu::check(CUBLAS_STATUS_ALLOC_FAILED, "gemm"), MemoryError);
  CHECK_THROWS_AS(gpu::check(CUBLAS_STATUS_NOT_SUPPORTED, "gemm"), BackendError);
  CHECK_THROWS_WITH(
      gpu::check(cudaErrorNoKernelImageForDevice, "for_each"),
      Contains("for_each") && Contains("cudaErrorNoKernelImageForDevice") && Contains("CMAKE_CUDA_ARCHITECTURES"));
  CHECK_THROWS_WITH(gpu::check(CUBLAS_STATUS_NOT_SUPPORTED, "gemm"),
                    Contains("gemm") && Contains("CUBLAS_STATUS_NOT_SUPPORTED"));
}

TEST_CASE("segments cover every row once, with numbers that say row and column") {
  struct Place {
    VENEER_HD index_t operator()(index_t r, index_t c) const { return r * 1000003 + c; }
  };
  for (const index_t rows : {1, 2, 5, 255, 256, 300}) {
    for (const index_t columns : {0, 1, 2, 16, 17, 1000, 16384, 16385, 24576, 70001}) {
      const gpu::SegmentBound begin = gpu::cut_rows(rows, columns), end = begin.end();
      const gpu::NumberedLoad<index_t, Place> load{{}, begin.shift};
      index_t segment = 0, wrong = 0;
      for (index_t r = 0; r < rows; ++r) {
        index_t next = 0;
        for (index_t piece = 0; piece < begin.pieces; ++piece, ++segment) {
          for (index_t i = begin(segment); i < end(segment); ++i) wrong += load(i) == Place{}(r, next++) ? 0 : 1;
        }
        wrong += next == columns ? 0 : 1;
      }
      CAPTURE(rows, columns, begin.pieces);
      CHECK(wrong == 0);
    }
  }
  CHECK(gpu::cut_rows(1, 1000000).pieces > 100);
  CHECK(gpu::cut_rows(4096, 128256).pieces == 1);
}

namespace {

template <class T>
T attribute(const cublasLtMatrixLayoutOpaque_t& layout, cublasLtMatrixLayoutAttribute_t which) {
  auto copy = layout;
  T value{};
  std::size_t written = 0;
  REQUIRE(cublasLtMatrixLayoutGetAttribute(&copy, which, &value, sizeof value, &written) == CUBLAS_STATUS_SUCCESS);
  return value;
}

/// A matrix by columns, as cuBLASLt reads it.
struct ByColumns {
  index_t rows, columns, leading, batch, stride;
  bool transposed;
  explicit ByColumns(const cublasLtMatrixLayoutOpaque_t& layout, bool transpose)
      : rows(static_cast<index_t>(attribute<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_ROWS))),
        columns(static_cast<index_t>(attribute<std::uint64_t>(layout, CUBLASLT_MATRIX_LAYOUT_COLS))),
        leading(attribute<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_LD)),
        batch(attribute<std::int32_t>(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT)),
        stride(attribute<std::int64_t>(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)),
        transposed(transpose) {}
  index_t place(index_t i, index_t row, index_t column) const {
    return i * stride + (transposed ? column + row * leading : row + column * leading);
  }
};

bool transposes(const gpu::Plan& plan, cublasLtMatmulDescAttributes_t operand) {
  auto copy = plan.operation;
  cublasOperation_t value{};
  std::size_t written = 0;
  REQUIRE(cublasLtMatmulDescGetAttribute(&copy, operand, &value, sizeof value, &written) == CUBLAS_STATUS_SUCCESS);
  return value == CUBLAS_OP_T;
}

}  // namespace

TEST_CASE("what cuBLASLt is asked for is the product: its definition, on the host, from the descriptors") {
  for (int variant = 0; variant < 16; ++variant) {
    const bool ta = (variant & 1) != 0, tb = (variant & 2) != 0;
    const index_t padding = (variant & 4) != 0 ? 3 : 0, batch = (variant & 8) != 0 ? 2 : 1;
    for (const index_t m : {1, 5}) {
      const index_t n = 4, k = 3;
      Gemm<float> p{ta, tb, m, n, k};
      p.lda = (ta ? m : k) + padding, p.ldb = (tb ? k : n) + padding, p.ldc = n + padding, p.batch = batch;
      p.stride_a = p.lda * 5 + 1, p.stride_b = p.ldb * 4 + 2, p.stride_c = p.ldc * m;
      const auto whole = [](index_t count, index_t step) {
        std::vector<float> x(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((static_cast<index_t>(i) * step) % 17 - 8);
        return x;
      };
      const std::vector<float> a = whole(p.stride_a * batch, 5), b = whole(p.stride_b * batch, 7);
      std::vector<float> expected(static_cast<std::size_t>(p.stride_c * batch)), found = expected;
      p.a = a.data(), p.b = b.data(), p.c = expected.data();
      Cpu{}.gemm(p);

      const gpu::Plan plan = gpu::describe(p);
      const ByColumns left(plan.left, transposes(plan, CUBLASLT_MATMUL_DESC_TRANSA));
      const ByColumns right(plan.right, transposes(plan, CUBLASLT_MATMUL_DESC_TRANSB));
      const ByColumns result(plan.result, false);
      CAPTURE(ta, tb, m, padding, batch);
      REQUIRE(result.batch == batch);
      REQUIRE((left.batch == batch && right.batch == batch));
      const index_t terms = left.transposed ? left.rows : left.columns;
      REQUIRE(terms == (right.transposed ? right.columns : right.rows));
      for (const ByColumns& matrix : {left, right, result}) CHECK(matrix.leading >= matrix.rows);
      for (index_t i = 0; i < batch; ++i) {
        for (index_t row = 0; row < result.rows; ++row) {
          for (index_t column = 0; column < result.columns; ++column) {
            float& sum = found[static_cast<std::size_t>(result.place(i, row, column))];
            for (index_t j = 0; j < terms; ++j) {
              sum += b[static_cast<std::size_t>(left.place(i, row, j))] *
                     a[static_cast<std::size_t>(right.place(i, j, column))];
            }
          }
        }
      }
      CHECK(found == expected);
    }
  }
}

TEST_CASE("freed memory is used again, and counted") {
  if (!testing::usable<Cuda>()) return;
  const Cuda device;
  const auto round = [&] {
    std::vector<std::shared_ptr<float>> blocks;
    for (index_t count = 1; count < 3000000; count = count * 2 + 1) {
      blocks.push_back(device.allocate<float>(count));
      if (blocks.size() % 3 == 0) blocks.erase(blocks.begin());
    }
  };
  round();
  device.synchronize();
  const gpu::MemoryUse first = device.memory();
  round();
  device.synchronize();
  const gpu::MemoryUse second = device.memory();
  CHECK(second.reserved == first.reserved);
  CHECK(second.used == first.used);
  CHECK(second.peak >= second.used);
  CHECK_FALSE(device.name().empty());
}

TEST_CASE("more memory than a device has is an exception, and the device works on") {
  if (!testing::usable<Cuda>()) return;
  const Cuda device;
  CHECK_THROWS_AS(device.allocate<double>(index_t{1} << 44), MemoryError);
  const auto x = full<float>(Shape<3>{}, 2.0f, device);
  CHECK(to_host(x) == std::vector<float>{2.0f, 2.0f, 2.0f});
}

TEST_CASE("several threads may use one device") {
  if (!testing::usable<Cuda>()) return;
  constexpr index_t n = 300;
  const auto product = [] {
    const Cuda device;
    const auto x = normal<float>(Shape<n, n>{}, {1, 2}, 1.0, device);
    auto y = zeros<float>(Shape<n, n>{}, device);
    for (int i = 0; i < 20; ++i) {
      device.gemm(Gemm<float>{false, true, n, n, n, 1.0f, x.data(), n, x.data(), n, 0.5f, y.data(), n, 1, 0, 0, 0});
    }
    return to_host(y);
  };
  const std::vector<float> alone = product();
  std::vector<std::vector<float>> found(4);
  std::vector<std::thread> users;
  for (std::vector<float>& mine : found) users.emplace_back([&mine, &product] { mine = product(); });
  for (std::thread& user : users) user.join();
  for (const std::vector<float>& mine : found) CHECK(mine == alone);
}
