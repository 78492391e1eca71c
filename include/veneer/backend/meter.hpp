// SPDX-License-Identifier: Apache-2.0
/// \file meter.hpp
/// Meter: a backend that computes nothing and counts what Cpu would take. A training step on it says what the step
/// takes, from the same code and for a model of any size, before anything is allocated.
///
/// Its addresses lead nowhere, and its values read as zeros. The count follows Cpu's arena (cpu/memory.hpp): size
/// classes, blocks that are kept and used again, whole pages; and what products pack, together and on each thread
/// (cpu/cut.hpp).
/// Not counted are the host's own containers: ids, layouts, names, the tape.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/memory.hpp"
#include "veneer/backend/cpu/product.hpp"

namespace veneer {

/// Bytes that tensors on Meter take, on this thread.
class MemoryMeter {
 public:
  static MemoryMeter& instance() {
    thread_local MemoryMeter meter;
    return meter;
  }

  /// \param threads  that Cpu is taken to have
  explicit MemoryMeter(int threads = 1) : threads_(std::max(1, threads)) {}

  /// In use now, as it was asked for.
  std::size_t used() const { return used_; }
  /// In memory: the pages that somebody has written to, of blocks in use and of free ones that are kept.
  std::size_t resident() const { return resident_; }
  /// The largest `resident` so far.
  std::size_t peak() const { return peak_; }
  /// What Cpu's arena would have asked the system for, and not returned: its `reserved`.
  std::size_t reserved() const { return reserved_; }

  /// A block, by its address, how much of it has been written to at some time, and its size.
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

  /// Runs f with every block taken as often as there are threads at work on `tasks` tasks, since each of them takes
  /// one. Inside of that, as in Cpu's pool, there is no more to share out.
  template <class F>
  void side_by_side(index_t tasks, const F& f) {
    const int before = copies_;
    if (before == 1) copies_ = static_cast<int>(std::clamp<index_t>(tasks, 1, threads_));
    f();
    copies_ = before;
  }
  int copies() const { return copies_; }

 private:
  /// Blocks that are smaller than a huge page share huge pages.
  static std::size_t pages_of(std::size_t asked, std::size_t taken) {
    if (taken < cpu::chunk_block) return (asked + 63) / 64 * 64;
    return taken < cpu::huge_page ? taken : (asked + cpu::huge_page - 1) / cpu::huge_page * cpu::huge_page;
  }

  std::size_t used_ = 0, resident_ = 0, peak_ = 0, reserved_ = 0;
  std::array<std::vector<Block>, cpu::SizeClass::count> free_;
  std::uintptr_t next_ = 4096;  // an address that nobody owns
  int threads_, copies_ = 1;
};

/// A meter at zero in the place of this thread's, until the end of a scope. No tensor may outlive the scope.
class FreshMeter {
 public:
  explicit FreshMeter(int threads) : before_(std::exchange(MemoryMeter::instance(), MemoryMeter(threads))) {}
  ~FreshMeter() { MemoryMeter::instance() = std::move(before_); }
  FreshMeter(const FreshMeter&) = delete;
  FreshMeter& operator=(const FreshMeter&) = delete;

 private:
  MemoryMeter before_;
};

struct Meter {
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
    if (g.batch > 0) multiply(product_of(g));
  }

  /// What Cpu takes: rows of A packed for all, and on each thread what a tile takes.
  void multiply(const Product& p) const {
    cpu::measure(p, [&](index_t shared, const cpu::Demand& first, const cpu::Demand& then) {
      const auto block = shared > 0 ? allocate<std::uint8_t>(shared) : nullptr;
      for (const cpu::Demand& demand : {first, then}) {
        if (demand.tasks == 0 || demand.bytes == 0) continue;
        MemoryMeter::instance().side_by_side(demand.tasks, [&] { allocate<std::uint8_t>(demand.bytes); });
      }
    });
  }

  /// f(0) stands for all that run at a time.
  template <class F>
  void concurrently(index_t count, const F& f) const {
    if (count > 0) MemoryMeter::instance().side_by_side(count, [&] { f(index_t{0}); });
  }

  void trim() const { MemoryMeter::instance().trim(); }
  void synchronize() const {}
};

static_assert(Backend<Meter>);

}  // namespace veneer
