// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu.hpp"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "veneer/core/math.hpp"
#include "veneer/core/random.hpp"

#include "support/backends.hpp"

namespace cpu_test {

using namespace veneer;

namespace {

/// Restores the number of threads of the process.
struct ThreadsRestored {
  int before = Cpu::threads();
  ~ThreadsRestored() { Cpu::set_threads(before); }
};

struct PoisonOff {
  ~PoisonOff() { cpu::Memory::instance().poison(false); }
};

struct CurveBody {
  float* y;
  VENEER_HD void operator()(index_t i) const {
    y[i] = sigmoid(static_cast<float>(normal_at({3, 4}, static_cast<std::uint64_t>(i))));
  }
};

struct CurveLoad {
  const float* x;
  index_t columns;
  VENEER_HD float operator()(index_t r, index_t c) const { return exponential(x[r * columns + c]); }
};

struct Matmul {
  index_t m, n, k, batch;
  bool transpose_a, transpose_b;
};

/// Returns all results of the backend on fixed input, in one list.
std::vector<float> computed() {
  const Cpu device;
  constexpr index_t count = 200000;
  std::vector<float> x(count);
  device.for_each(count, CurveBody{x.data()}, 30);
  std::vector<float> all = x;
  for (const index_t rows : {1, 7, 400}) {
    std::vector<float> sums(static_cast<std::size_t>(rows));
    device.reduce_rows(Sum<float>{}, rows, count / rows, CurveLoad{x.data(), count / rows}, sums.data());
    all.insert(all.end(), sums.begin(), sums.end());
  }
  for (const Matmul& shape :
       {Matmul{600, 160, 90, 1, false, true}, Matmul{77, 8, 300, 1, false, true}, Matmul{8, 300, 77, 1, true, false},
        Matmul{300, 300, 300, 1, true, true}, Matmul{20, 30, 16, 40, false, false}}) {
    Gemm<float> p{
        .transpose_a = shape.transpose_a, .transpose_b = shape.transpose_b, .m = shape.m, .n = shape.n, .k = shape.k};
    p.lda = shape.transpose_a ? shape.m : shape.k, p.ldb = shape.transpose_b ? shape.k : shape.n, p.ldc = shape.n;
    p.batch = shape.batch, p.stride_a = shape.m * shape.k, p.stride_b = shape.k * shape.n,
    p.stride_c = shape.m * shape.n;
    std::vector<float> c(static_cast<std::size_t>(p.stride_c * p.batch));
    p.a = x.data(), p.b = x.data() + 1000, p.c = c.data();
    device.gemm(p);
    all.insert(all.end(), c.begin(), c.end());
  }
  return all;
}

}  // namespace

TEST_CASE("results have the same bits at any number of threads") {
  const ThreadsRestored restored;
  Cpu::set_threads(1);
  const std::vector<float> alone = computed();
  for (const int threads : {2, 3, 4}) {
    Cpu::set_threads(threads);
    REQUIRE(Cpu::threads() == threads);
    const std::vector<float> together = computed();
    REQUIRE(together.size() == alone.size());
    CAPTURE(threads);
    CHECK(std::memcmp(together.data(), alone.data(), alone.size() * sizeof(float)) == 0);
  }
}

namespace {
struct Grid {
  index_t columns;
  VENEER_HD float operator()(index_t r, index_t c) const { return static_cast<float>((r * columns + c) % 17) - 5.0f; }
};
}  // namespace

TEST_CASE("sums of columns are the sums of their values, whatever the extents") {
  for (const index_t rows : {0, 1, 3, 300}) {
    for (const index_t columns : {1, 127, 128, 129, 1000}) {
      std::vector<float> found(static_cast<std::size_t>(columns), -1.0f), expected(found.size(), 0.0f);
      Cpu{}.sum_columns(rows, columns, Grid{columns}, found.data());
      for (index_t r = 0; r < rows; ++r) {
        for (index_t c = 0; c < columns; ++c) expected[static_cast<std::size_t>(c)] += Grid{columns}(r, c);
      }
      CAPTURE(rows, columns);
      CHECK(found == expected);  // integers: exact in any order
    }
  }
}

TEST_CASE("there is always one thread") {
  const ThreadsRestored restored;
  Cpu::set_threads(0);
  CHECK(Cpu::threads() == 1);
  Cpu::set_threads(3);
  CHECK(Cpu::threads() == 3);
}

TEST_CASE("the pool runs every task once, and waits for all") {
  const ThreadsRestored restored;
  for (const int threads : {1, 2, 4}) {
    Cpu::set_threads(threads);
    for (const index_t tasks : {0, 1, 2, 3, 100, 5000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      Cpu{}.concurrently(tasks, [&](index_t task) { ++runs[static_cast<std::size_t>(task)]; });
      index_t once = 0;
      for (const std::atomic<int>& count : runs) once += count.load() == 1 ? 1 : 0;
      CAPTURE(threads, tasks);
      CHECK(once == tasks);
    }
  }
}

TEST_CASE("work inside of tasks is done, on the task's own thread") {
  const ThreadsRestored restored;
  Cpu::set_threads(4);
  const Cpu device;
  constexpr index_t tasks = 20, count = 50000;
  std::vector<float> y(tasks * count), alone(count);
  std::atomic<int> elsewhere{0};
  device.concurrently(tasks, [&](index_t task) {
    const std::thread::id here = std::this_thread::get_id();
    device.for_each(count, CurveBody{y.data() + task * count}, 30);
    device.concurrently(10, [&](index_t) { elsewhere += std::this_thread::get_id() == here ? 0 : 1; });
  });
  device.for_each(count, CurveBody{alone.data()}, 30);
  index_t same = 0;
  for (index_t task = 0; task < tasks; ++task) {
    same += std::memcmp(y.data() + task * count, alone.data(), count * sizeof(float)) == 0 ? 1 : 0;
  }
  CHECK(same == tasks);
  CHECK(elsewhere.load() == 0);
}

TEST_CASE("the exception of a task reaches the caller, and the pool works on") {
  const ThreadsRestored restored;
  for (const int threads : {1, 3}) {
    Cpu::set_threads(threads);
    const Cpu device;
    const auto failing = [](index_t task) {
      if (task == 37) throw std::out_of_range("task 37");
    };
    CAPTURE(threads);
    for (int round = 0; round < 3; ++round) CHECK_THROWS_WITH(device.concurrently(100, failing), "task 37");
    std::atomic<int> runs{0};
    device.concurrently(100, [&](index_t) { ++runs; });
    CHECK(runs.load() == 100);
  }
}

TEST_CASE("several threads may use the backend at one time") {
  const ThreadsRestored restored;
  Cpu::set_threads(2);
  const std::vector<float> alone = computed();
  std::vector<std::vector<float>> found(3);
  std::vector<std::thread> users;
  for (std::vector<float>& mine : found) users.emplace_back([&mine] { mine = computed(); });
  for (std::thread& user : users) user.join();
  for (const std::vector<float>& mine : found) {
    REQUIRE(mine.size() == alone.size());
    CHECK(std::memcmp(mine.data(), alone.data(), alone.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("a second round of the same allocations asks the system for nothing") {
  const auto round = [] {
    std::vector<std::shared_ptr<float>> blocks;
    for (index_t count = 1; count < 3000000; count = count * 3 / 2 + 1) {
      blocks.push_back(Cpu{}.allocate<float>(count));
      if (blocks.size() % 3 == 0) blocks.erase(blocks.begin());
    }
  };
  round();
  const cpu::MemoryUse first = cpu::Memory::instance().use();
  round();
  const cpu::MemoryUse second = cpu::Memory::instance().use();
  CHECK(first.requests > 0);
  CHECK(second.requests == first.requests);
  CHECK(second.reserved == first.reserved);
  CHECK(second.used == first.used);
}

TEST_CASE("the arena counts what is in use, and its peak") {
  cpu::Memory& memory = cpu::Memory::instance();
  memory.reset_peak();
  const std::size_t before = memory.use().used;
  {
    const auto block = Cpu{}.allocate<double>(100000);
    CHECK(memory.use().used >= before + 800000);
    CHECK(memory.use().used <= before + 1000000);  // a size class is at most a quarter larger
    CHECK(reinterpret_cast<std::uintptr_t>(block.get()) % 64 == 0);
  }
  CHECK(memory.use().used == before);
  CHECK(memory.use().peak >= before + 800000);
  memory.trim();
  CHECK(memory.use().reserved == memory.use().used);
}

TEST_CASE("every size fits its class") {
  cpu::Memory& memory = cpu::Memory::instance();
  for (std::size_t bytes = 0; bytes < (std::size_t{1} << 22); bytes = bytes < 9000 ? bytes + 1 : bytes * 21 / 20) {
    const std::size_t before = memory.use().used;
    void* block = memory.take(bytes);
    std::memset(block, 1, bytes);
    const std::size_t taken = memory.use().used - before;
    memory.give_back(block, bytes);
    const bool fits = taken >= bytes && (bytes <= 4096 ? taken <= bytes + 64 : 4 * taken <= 5 * bytes + 4);
    if (!fits) FAIL("asked for " << bytes << " bytes, took " << taken);
    if (memory.use().used != before) FAIL("asked for " << bytes << " bytes, not all came back");
  }
  SUCCEED("all sizes");
}

TEST_CASE("a poisoned arena hands out NaN") {
  const PoisonOff off;
  cpu::Memory::instance().poison(true);
  const auto block = Cpu{}.allocate<float>(1000);
  index_t numbers = 0;
  for (index_t i = 0; i < 1000; ++i) numbers += std::isnan(block.get()[i]) ? 0 : 1;
  CHECK(numbers == 0);
}

TEST_CASE("memory that the system does not have is an exception") {
  CHECK_THROWS_AS(Cpu{}.allocate<float>(index_t{1} << 50), MemoryError);
  CHECK_THROWS_AS(Cpu{}.allocate<float>(index_t{1} << 60), MemoryError);
  CHECK_THROWS_AS(Cpu{}.allocate<float>(-1), ShapeError);
}

}  // namespace cpu_test
