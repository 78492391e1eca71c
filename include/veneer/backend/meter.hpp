// SPDX-License-Identifier: Apache-2.0
/// \file meter.hpp
/// Meter: a backend that computes nothing and counts what Cpu would allocate. A training step on it says what the step
/// takes, from the same code and for a model of any size, before anything is allocated.
///
/// Its addresses lead nowhere and its values read as zeros. The count follows Cpu's arena (cpu/memory.hpp): size
/// classes, and blocks that are kept and used again. What is left out is what a product packs, at most 0.6 MiB a
/// thread.
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

namespace veneer {

/// Bytes that tensors on Meter take, on this thread.
class MemoryMeter {
 public:
  static MemoryMeter& instance() {
    thread_local MemoryMeter meter;
    return meter;
  }

  /// In use now.
  std::size_t used() const { return used_; }
  /// In memory: pages of all blocks, free ones too, that somebody has written to.
  std::size_t resident() const { return resident_; }
  void reset() { *this = {}; }

  /// A block, by its address and how much of it has been written to at some time.
  struct Block {
    std::uintptr_t address = 0;
    std::size_t touched = 0;
  };

  Block take(std::size_t bytes) {
    const cpu::SizeClass size(bytes);
    std::vector<Block>& free = free_[size.index];
    if (free.empty()) free.push_back({next_ += size.bytes, 0});
    Block block = free.back();
    free.pop_back();
    const std::size_t page = size.bytes < cpu::huge_page ? 1 : cpu::huge_page;
    const std::size_t touched = std::max(block.touched, (bytes + page - 1) / page * page);
    resident_ += touched - block.touched;
    used_ += bytes;
    block.touched = touched;
    return block;
  }
  void give_back(const Block& block, std::size_t bytes) {
    free_[cpu::SizeClass(bytes).index].push_back(block);
    used_ -= bytes;
  }

 private:
  std::size_t used_ = 0, resident_ = 0;
  std::array<std::vector<Block>, cpu::SizeClass::count> free_;
  std::uintptr_t next_ = 4096;  // an address that nobody owns
};

struct Meter {
  template <Scalar T>
  std::shared_ptr<T> allocate(index_t count) const {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    std::vector<MemoryMeter::Block> blocks;  // one for each of those that run side by side
    for (int i = 0; i < side_by_side(); ++i) blocks.push_back(MemoryMeter::instance().take(bytes));
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
  template <class Monoid, class Load>
  void reduce_rows(Monoid, index_t, index_t, const Load&, typename Monoid::value_type*) const {}
  template <Real T>
  void gemm(const Gemm<T>&) const {}

  /// One of them stands for all that run at a time.
  template <class F>
  void concurrently(index_t count, const F& f) const {
    if (count == 0) return;
    const int before = side_by_side();
    side_by_side() = static_cast<int>(std::min<index_t>(count, threads()));
    f(index_t{0});
    side_by_side() = before;
  }

  void synchronize() const {}

  /// As many threads as Cpu is assumed to have.
  static int& threads() {
    thread_local int count = 2;
    return count;
  }

 private:
  static int& side_by_side() {
    thread_local int copies = 1;
    return copies;
  }
};

static_assert(Backend<Meter>);

}  // namespace veneer
