// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu/matmul.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "veneer/backend/cpu/eigen.hpp"

#include "support/catch.hpp"
#include "support/kernels.hpp"
#include "support/products.hpp"

namespace matmul_test {

using namespace veneer;
using testing::Form;
using testing::Mix;
using testing::StoredMatrix;
using testing::SumOfProducts;

namespace {

/// Runs the problem with the kernels in use. Returns its error, see SumOfProducts, or infinity if it writes outside C.
double error_of(const cpu::Kernels& kernels, const SumOfProducts& problem) {
  StoredMatrix found = problem.c;
  const Matmul p = problem.into(found);
  cpu::matmul(p);
  found.refresh();
  const Storage arithmetic = testing::multiplied_in(kernels, p);
  return found.same_gaps(problem.c) ? problem.error(found, problem.reference(arithmetic), arithmetic)
                                    : std::numeric_limits<double>::infinity();
}

struct Extents {
  index_t m, n, k;
};

template <class F>
void for_each_transposition(const F& f) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) f(transpose_a, transpose_b);
  }
}

/// Returns matmul i of 300: every m from 1 to 40, n from 1 to 70 and k from 1 to 300 occurs, most of them with every
/// beta, and every third with a second term.
SumOfProducts covering(Mix mix, bool transpose_a, bool transpose_b, index_t i) {
  constexpr double betas[] = {0.0, 1.0, -0.5};
  constexpr Storage stored[] = {Storage::float32, Storage::bfloat16, Storage::float16, Storage::float64};
  if (i % 5 == 4) mix.c = stored[i / 5 % 4];
  Form form{transpose_a, transpose_b, 1 + i * 7 % 40, 1 + i * 11 % 70, 1 + i};
  form.scale = i % 2 == 0 ? 1.0 : 0.75, form.beta = betas[i / 2 % 3], form.gap = i % 4;
  SumOfProducts problem(mix, form);
  if (i % 3 == 0) problem.add(!transpose_a, transpose_b, 1 + i % 37, -1.5);
  if (i % 3 == 1) problem.add(transpose_a, !transpose_b, 1 + i * 13 % 70, 1.0);
  return problem;
}

}  // namespace

// Every matmul in an optimised build; one in seven with the sanitizers, which take twenty times as long.
#if defined(__OPTIMIZE__)
constexpr index_t one_in = 1;
#else
constexpr index_t one_in = 7;
#endif

TEST_CASE("a product is the sum of its terms, in every storage and at every tail") {
  for (const Mix& mix : testing::mixes) {
    for_each_transposition([&](bool transpose_a, bool transpose_b) {
      for (index_t i = 0; i < 300; i += one_in) {
        const SumOfProducts problem = covering(mix, transpose_a, transpose_b, i);
        testing::with_each_set([&](const cpu::Kernels& kernels) {
          const double error = error_of(kernels, problem);
          if (error > 1.0) {
            FAIL_CHECK(kernels.name << ", " << text_of(mix) << ", transposed " << transpose_a << transpose_b
                                    << ", number " << i << ": error " << error);
          }
        });
      }
    });
  }
  SUCCEED("all products");
}

TEST_CASE("large products are cut into tiles that meet") {
  // Around the edges of a tile and of a block of steps; one C large enough to be written with stores that
  // bypass the caches.
  constexpr Form forms[] = {
      {false, true, 97, 8, 520},    {false, true, 8, 257, 140},        {true, false, 40, 260, 513},
      {false, false, 150, 330, 60}, {true, true, 530, 270, 33},        {false, true, 65, 65, 1030},
      {false, false, 12, 129, 300}, {false, true, 13, 515, 64},        {true, false, 129, 64, 257},
      {false, true, 1030, 1026, 3}, {false, true, 300, 16, 520},       {false, false, 260, 21, 256, 0.75, -0.5},
      {true, false, 300, 7, 90},    {true, true, 65, 64, 40, 1.0, 1.0}};
  for (const Mix& mix : testing::mixes) {
    for (Form form : forms) {
      if (form.m > 1000 && mix.c != Storage::bfloat16) continue;
      form.gap = form.k % 2 == 0 ? 3 : 0;
      const SumOfProducts problem(mix, form);
      testing::with_each_set([&](const cpu::Kernels& kernels) {
        CAPTURE(kernels.name, text_of(mix), form.m, form.n, form.k);
        CHECK(error_of(kernels, problem) <= 1.0);
      });
    }
  }
}

TEST_CASE("a product has the same bits at 1, 2, 3 and 4 threads") {
  const testing::ThreadsRestored restored;
  constexpr Form forms[] = {{false, true, 520, 16, 70, 1.5, 1.0, 1},
                            {true, false, 16, 520, 70, 1.5, 1.0, 1},
                            {false, true, 3, 700, 130, 1.5, 1.0, 1},
                            {true, true, 300, 270, 60, 1.5, 1.0, 1}};
  for (const Mix& mix : testing::mixes) {
    for (const Form& form : forms) {
      SumOfProducts problem(mix, form);
      problem.add(form.transpose_a, form.transpose_b, 8, -0.5);
      testing::with_each_set([&](const cpu::Kernels& kernels) {
        std::vector<StoredMatrix> found(4, problem.c);
        for (int threads = 1; threads <= 4; ++threads) {
          Cpu::set_threads(threads);
          cpu::matmul(problem.into(found[static_cast<std::size_t>(threads - 1)]));
        }
        CAPTURE(kernels.name, text_of(mix), form.m, form.n, form.k);
        CHECK(!found[0].same_bits(problem.c));
        for (std::size_t i = 1; i < found.size(); ++i) CHECK(found[i].same_bits(found[0]));
      });
    }
  }
}

TEST_CASE("a product of bfloat16 and a few floats keeps what is not finite") {
  SumOfProducts problem(testing::mixes[12], {false, true, 300, 5, 256});
  problem.b().set(0, 3, std::numeric_limits<double>::infinity());
  problem.b().set(1, 3, std::numeric_limits<double>::quiet_NaN());
  problem.b().set(2, 3, 3.4028234e38);
  problem.a().set(0, 3, 1.0), problem.a().set(1, 3, 0.0);
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    StoredMatrix found = problem.c;
    cpu::matmul(problem.into(found));
    found.refresh();
    CAPTURE(kernels.name);
    CHECK(found.at(0, 0) == std::numeric_limits<double>::infinity());
    CHECK(std::isnan(found.at(1, 0)));
    CHECK(std::isnan(found.at(0, 1)));
    CHECK(found.at(0, 2) > 3e38);
    CHECK(std::isfinite(found.at(1, 4)));
  });
}

TEST_CASE("A that is packed part by part gives the bits of A packed at once") {
  const auto check = [](const cpu::Kernels& kernels, const Mix& mix, auto zero) {
    using E = decltype(zero);
    const SumOfProducts problem(mix, {false, true, 600, 270, 40, 1.0, 1.0, 1});
    StoredMatrix whole = problem.c, parts = problem.c;
    cpu::matmul(problem.into(whole));
    const Matmul p = problem.into(parts);
    cpu::Cut<E> cut(kernels, p);
    REQUIRE(cut.shares_a);
    REQUIRE(cut.together > cut.tile.rows);
    cut.together = cut.tile.rows;
    cpu::multiply_tiles(kernels, p, cut);
    CAPTURE(kernels.name, text_of(mix));
    CHECK(parts.same_bits(whole));
  };
  testing::with_each_set([&](const cpu::Kernels& kernels) {
    check(kernels, testing::mixes[0], float{});
    check(kernels, testing::mixes[1], double{});
    if (kernels.bfloat16_pairs.run != nullptr) check(kernels, testing::mixes[2], bfloat16{});
  });
}

TEST_CASE("a term without steps or with scale 0 is not read, and C is beta C") {
  for (const Mix& mix : testing::mixes) {
    for (const double beta : {0.0, 1.0, 2.0}) {
      for (const Extents& e :
           {Extents{7, 9, 0}, Extents{13, 140, 20}, Extents{3, 9, 70}, Extents{70, 300, 70}, Extents{300, 9, 300}}) {
        const SumOfProducts problem(mix, {false, true, e.m, e.n, 0, 1.0, beta, 2});
        testing::with_each_set([&](const cpu::Kernels& kernels) {
          StoredMatrix found = problem.c, expected = problem.c;
          Matmul p = problem.into(found);
          p.terms[0].a.data = p.terms[0].b.data = nullptr;
          p.terms[0].k = e.k, p.terms[0].scale = e.k == 0 ? 1.0 : 0.0;
          cpu::matmul(p);
          const Storage sums = mix.arithmetic == Storage::float64 ? Storage::float64 : Storage::float32;
          for (index_t i = 0; i < e.m * e.n; ++i) {
            const double before = problem.c.at(i / e.n, i % e.n);
            expected.set(i / e.n, i % e.n, beta == 0.0 ? 0.0 : testing::rounded_to(sums, beta * before));
          }
          CAPTURE(kernels.name, text_of(mix), beta, e.m, e.n, e.k);
          CHECK(found.same_bits(expected));
        });
      }
    }
  }
}

TEST_CASE("a term with scale 0 leaves the bits of the other as they are") {
  for (const Mix& mix : testing::mixes) {
    for (const Form& form :
         {Form{false, true, 5, 70, 80}, Form{false, true, 70, 300, 40}, Form{true, false, 30, 20, 9}}) {
      const SumOfProducts problem(mix, form);
      testing::with_each_set([&](const cpu::Kernels& kernels) {
        StoredMatrix alone = problem.c;
        const Matmul p = problem.into(alone);
        cpu::matmul(p);
        for (const bool first : {false, true}) {
          StoredMatrix found = problem.c;
          Matmul both = problem.into(found);
          both.count = 2, both.terms[1] = both.terms[0];
          Term& idle = both.terms[first ? 0 : 1];
          idle.a.data = idle.b.data = nullptr, idle.scale = 0.0, idle.k += 300;
          cpu::matmul(both);
          CAPTURE(kernels.name, text_of(mix), form.m, form.n, form.k, first);
          CHECK(found.same_bits(alone));
        }
      });
    }
  }
}

TEST_CASE("a NaN reaches its own row or column of C and no other element") {
  for (const Mix& mix : testing::mixes) {
    if (mix.b == Storage::coded) continue;
    for (const bool transposed : {false, true}) {
      for (const index_t m : {5, 37}) {
        constexpr index_t n = 45, k = 67, row = 3, column = 34;
        SumOfProducts problem(mix, {transposed, !transposed, m, n, k});
        const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
        transposed ? problem.a().set(k - 1, row, nan) : problem.a().set(row, k - 1, nan);
        transposed ? problem.b().set(0, column, infinity) : problem.b().set(column, 0, infinity);
        testing::with_each_set([&](const cpu::Kernels& kernels) {
          StoredMatrix found = problem.c;
          cpu::matmul(problem.into(found));
          found.refresh();
          index_t right = 0;
          for (index_t i = 0; i < m; ++i) {
            for (index_t j = 0; j < n; ++j) {
              const double value = found.at(i, j);
              right += i == row ? std::isnan(value) : j == column ? std::isinf(value) : std::isfinite(value);
            }
          }
          CAPTURE(kernels.name, text_of(mix), transposed, m);
          CHECK(right == m * n);
        });
      }
    }
  }
}

namespace {

/// Computes a matmul of one term with Eigen.
template <Real T>
void eigen_product(const Matmul& p) {
  const auto matrix = [](const Operand& x, index_t rows, index_t columns) {
    const T* data = static_cast<const T*>(x.data);
    cpu::EigenMatrix<T> op = x.transposed
                                 ? cpu::EigenMatrix<T>(cpu::as_eigen(data, columns, rows, x.stride).transpose())
                                 : cpu::EigenMatrix<T>(cpu::as_eigen(data, rows, columns, x.stride));
    return op;
  };
  const Term& t = p.terms[0];
  auto c = cpu::as_eigen(static_cast<T*>(p.c), p.m, p.n, p.ldc);
  if (p.beta == 0.0) c.setZero();
  c = static_cast<T>(t.scale) * (matrix(t.a, p.m, t.k) * matrix(t.b, t.k, p.n)) + static_cast<T>(p.beta) * c;
}

template <Real T>
void check_eigen(const Mix& mix) {
  for_each_transposition([&](bool transpose_a, bool transpose_b) {
    for (const Extents& e : {Extents{1, 1, 1}, Extents{12, 16, 31}, Extents{25, 33, 255}, Extents{97, 8, 520}}) {
      for (const double beta : {0.0, -0.5}) {
        const SumOfProducts problem(mix, {transpose_a, transpose_b, e.m, e.n, e.k, 0.75, beta, 0});
        StoredMatrix found = problem.c;
        eigen_product<T>(problem.into(found));
        found.refresh();
        CAPTURE(transpose_a, transpose_b, e.m, e.n, e.k, beta);
        CHECK(problem.error(found, problem.reference(mix.arithmetic), mix.arithmetic) <= 1.0);
      }
    }
  });
}

}  // namespace

TEST_CASE("Eigen's products keep the same bound") {
  check_eigen<float>(testing::mixes[0]);
  check_eigen<double>(testing::mixes[1]);
}

TEST_CASE("tile_shape gives no empty tile, whatever the extents") {
  for (const index_t m : {1, 16, 63, 64, 65, 512, 2049}) {
    for (const index_t n : {1, 8, 64, 65, 384, 4096}) {
      for (const index_t k : {0, 1, 16, 4096}) {
        const cpu::TileShape shape = cpu::tile_shape(m, n, k, 12, 32);
        CAPTURE(m, n, k, shape.rows, shape.columns);
        CHECK(shape.rows >= 1);
        CHECK(shape.columns >= 1);
      }
    }
  }
}

}  // namespace matmul_test
