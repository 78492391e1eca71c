// SPDX-License-Identifier: Apache-2.0
/// \file dry_run.hpp
/// DryRun: a backend that computes nothing and counts the memory that Cpu would use. A training step on it gives the
/// memory of the step, with the same code and for a model of any size, before anything is allocated.
///
/// Its addresses are invalid, and its values read as zeros. The count follows Cpu's arena (cpu/memory.hpp): size
/// classes, cached and reused blocks, whole pages. It includes the packed operands of matmuls, both shared ones and
/// those of each thread (cpu/cut.hpp). It does not include containers of the host: ids, layouts, names, the tape.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/matmul.hpp"
#include "veneer/backend/cpu/memory.hpp"

namespace veneer {

/// Counters of the bytes of tensors on DryRun, on this thread.
class MemoryMeter {
 public:
  static MemoryMeter& instance() {
    thread_local MemoryMeter meter;
    return meter;
  }

  /// \param threads  assumed number of threads of Cpu
  explicit MemoryMeter(int threads = 1) : threads_(std::max(1, threads)) {}

  /// Returns the requested bytes of the blocks in use.
  std::size_t used() const { return used_; }
  /// Returns the resident bytes: touched pages of live and cached blocks.
  std::size_t resident() const { return resident_; }
  /// Returns the largest `resident` so far.
  std::size_t peak() const { return peak_; }
  /// Returns the bytes that Cpu's arena would hold from the system: its `reserved`.
  std::size_t reserved() const { return reserved_; }

  /// A block: its address, the number of bytes written so far, and its size.
  struct Block {
    std::uintptr_t address = 0;
    std::size_t touched = 0, bytes = 0;
  };

  Block take(std::size_t bytes) {
    const cpu::SizeClass size(bytes);
    std::vector<Block>& free = free_[size.index];
    if (free.empty()) {
      free.push_back({next_ += size.bytes, 0, size.bytes});
      reserved_ += size.bytes;
    }
    Block block = free.back();
    free.pop_back();
    const std::size_t touched = std::max(block.touched, pages_of(bytes, size.bytes));
    resident_ += touched - block.touched;
    peak_ = std::max(peak_, resident_);
    used_ += bytes;
    block.touched = touched;
    return block;
  }
  void give_back(const Block& block, std::size_t bytes) {
    free_[cpu::SizeClass(bytes).index].push_back(block);
    used_ -= bytes;
  }
  void trim() {
    for (std::vector<Block>& free : free_) {
      for (const Block& block : free) resident_ -= block.touched, reserved_ -= block.bytes;
      free.clear();
    }
  }

  /// Runs f and counts every block once per thread that works on `tasks` tasks. Nested calls run on one thread, as
  /// in Cpu's pool.
  template <class F>
  void side_by_side(index_t tasks, const F& f) {
    const int before = copies_;
    if (before == 1) copies_ = static_cast<int>(std::clamp<index_t>(tasks, 1, threads_));
    f();
    copies_ = before;
  }
  int copies() const { return copies_; }

 private:
  /// Returns the bytes of the pages of a block. Blocks smaller than a huge page share huge pages.
  static std::size_t pages_of(std::size_t asked, std::size_t taken) {
    if (taken < cpu::chunk_block) return (asked + 63) / 64 * 64;
    return taken < cpu::huge_page ? taken : round_up(asked, cpu::huge_page);
  }

  std::size_t used_ = 0, resident_ = 0, peak_ = 0, reserved_ = 0;
  std::array<std::vector<Block>, cpu::SizeClass::count> free_;
  std::uintptr_t next_ = 4096;  // an unused address
  int threads_, copies_ = 1;
};

/// A scope in which this thread has a new meter, starting at zero. No tensor may outlive the scope.
class FreshMeter {
 public:
  explicit FreshMeter(int threads) : before_(std::exchange(MemoryMeter::instance(), MemoryMeter(threads))) {}
  ~FreshMeter() { MemoryMeter::instance() = std::move(before_); }
  FreshMeter(const FreshMeter&) = delete;
  FreshMeter& operator=(const FreshMeter&) = delete;

 private:
  MemoryMeter before_;
};

struct DryRun {
  template <Scalar T>
  std::shared_ptr<T> allocate(index_t count) const {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    MemoryMeter& meter = MemoryMeter::instance();
    std::vector<MemoryMeter::Block> blocks;
    for (int i = 0; i < meter.copies(); ++i) blocks.push_back(meter.take(bytes));
    T* address = reinterpret_cast<T*>(blocks.front().address);
    return std::shared_ptr<T>(address, [bytes, blocks = std::move(blocks)](T*) {
      for (const MemoryMeter::Block& block : blocks) MemoryMeter::instance().give_back(block, bytes);
    });
  }

  template <Scalar T>
  void copy_in(T*, const T*, index_t) const {}
  template <Scalar T>
  void copy_out(T* host, const T*, index_t count) const {
    std::fill_n(host, count, T{});
  }

  template <class Body>
  void for_each(index_t, const Body&, index_t = 1) const {}
  template <class Body>
  void for_each(index_t, index_t, const Body&, index_t = 1) const {}
  template <class Monoid, class Load>
  void reduce_rows(Monoid, index_t, index_t, const Load&, typename Monoid::value_type*) const {}

  template <class Value, Real C>
  void sum_columns(index_t, index_t, const Value&, C*) const {}

  template <Stored In, Stored Out>
  void gemm(const Gemm<In, Out>& g) const {
    if (g.batch > 0) matmul(matmul_of(g));
  }

  /// Counts the memory of a matmul on Cpu: packed rows of A, shared by all threads, and the tiles of each thread.
  void matmul(const Matmul& p) const {
    cpu::measure(p, [&](index_t shared, const cpu::Demand& first, const cpu::Demand& then) {
      const auto block = shared > 0 ? allocate<std::uint8_t>(shared) : nullptr;
      for (const cpu::Demand& demand : {first, then}) {
        if (demand.tasks == 0 || demand.bytes == 0) continue;
        MemoryMeter::instance().side_by_side(demand.tasks, [&] { allocate<std::uint8_t>(demand.bytes); });
      }
    });
  }

  /// Runs f(0), counted once for each concurrent call.
  template <class F>
  void concurrently(index_t count, const F& f) const {
    if (count > 0) MemoryMeter::instance().side_by_side(count, [&] { f(index_t{0}); });
  }

  void trim() const { MemoryMeter::instance().trim(); }
  void synchronize() const {}
};

static_assert(Backend<DryRun>);

}  // namespace veneer
