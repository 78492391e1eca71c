// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/dry_run.hpp"

#include "support/catch.hpp"
#include "support/kernels.hpp"
#include "support/products.hpp"

namespace dry_run_test {

using namespace veneer;
using testing::Form;
using testing::SumOfProducts;

namespace {

/// Returns the bytes that the matmul requests from Cpu's arena.
std::size_t reserved_by(const Matmul& p) {
  cpu::Memory& memory = cpu::Memory::instance();
  memory.trim();
  const std::size_t before = memory.use().reserved;
  cpu::matmul(p);
  return memory.use().reserved - before;
}

std::size_t counted_for(const Matmul& p, int threads) {
  const FreshMeter fresh(threads);
  DryRun{}.matmul(p);
  return MemoryMeter::instance().reserved();
}

/// Calls f(kernels, product) with a few rows, a skinny result, A shared by tiles, several blocks of steps, a term that
/// is not read and one without steps.
template <class F>
void for_each_product(const F& f) {
  constexpr Form forms[] = {{false, true, 1, 300, 200},  {false, true, 2, 40, 3000}, {false, true, 3, 40, 5},
                            {false, false, 200, 8, 600}, {true, true, 130, 300, 40}, {false, true, 540, 270, 280},
                            {true, false, 9, 700, 33},   {false, true, 70, 300, 0}};
  for (const testing::Mix& mix : testing::mixes) {
    for (const Form& form : forms) {
      for (const double second : {0.0, 2.0}) {
        SumOfProducts problem(mix, form);
        problem.add(form.transpose_a, form.transpose_b, 270, second);
        testing::StoredMatrix out = problem.c;
        const Matmul p = problem.into(out);
        testing::with_each_set([&](const cpu::Kernels& kernels) {
          CAPTURE(kernels.name, text_of(mix), form.m, form.n, form.k, second);
          f(p);
        });
      }
    }
  }
}

}  // namespace

TEST_CASE("DryRun counts what a product takes from Cpu's arena, to the byte on one thread") {
  const testing::ThreadsRestored restored;
  Cpu::set_threads(1);
  std::size_t most = 0;
  for_each_product([&](const Matmul& p) {
    const std::size_t taken = reserved_by(p);
    most = std::max(most, taken);
    CHECK(taken == counted_for(p, 1));
  });
  CHECK(most > 10000);
}

TEST_CASE("on several threads a product takes no more than DryRun counts") {
  const testing::ThreadsRestored restored;
  Cpu::set_threads(3);
  for_each_product([](const Matmul& p) { CHECK(reserved_by(p) <= counted_for(p, 3)); });
}

TEST_CASE("a product without elements takes nothing") {
  for (const Form& form : {Form{false, true, 0, 5, 7}, Form{false, true, 5, 0, 7}}) {
    const SumOfProducts problem(testing::mixes[0], form);
    testing::StoredMatrix out = problem.c;
    CHECK(reserved_by(problem.into(out)) == 0);
    CHECK(counted_for(problem.into(out), 2) == 0);
  }
}

}  // namespace dry_run_test
