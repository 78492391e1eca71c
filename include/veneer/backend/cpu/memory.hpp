// SPDX-License-Identifier: Apache-2.0
/// \file memory.hpp
/// Memory: a caching arena. Freed blocks are cached by size class and reused, so after the first training step no
/// memory is requested from the system. A page fault costs more than the arithmetic on the page.
///
/// Size classes: multiples of 64 bytes up to 4 KiB, then four steps per octave (at most 25 % larger than requested).
/// Blocks from 64 KiB on are allocated from chunks of address space that are advised to use huge pages: reading a
/// weight on pages of 4 KiB spends more time on address translation than on the memory access.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>

#include "veneer/core/error.hpp"
#include "veneer/core/scalar.hpp"
#include "veneer/core/shape.hpp"

namespace veneer::cpu {

/// Bytes in use, their maximum, bytes held from the system, and the number of requests to the system.
struct MemoryUse {
  std::size_t used = 0;
  std::size_t peak = 0;
  std::size_t reserved = 0;
  std::size_t requests = 0;
};

inline constexpr std::size_t huge_page = std::size_t{1} << 21;
/// Blocks from this size on are allocated from chunks.
inline constexpr std::size_t chunk_block = std::size_t{1} << 16;

/// The size class of a block.
struct SizeClass {
  static constexpr std::size_t small_limit = 4096;
  static constexpr std::size_t count = 64 + 4 * 52;

  std::size_t index = 0;
  std::size_t bytes = 0;
  explicit SizeClass(std::size_t asked) {
    if (asked <= small_limit) {
      index = asked == 0 ? 0 : (asked - 1) / 64;
      bytes = (index + 1) * 64;
      return;
    }
    if (asked > (std::size_t{1} << 46))
      throw MemoryError("veneer::cpu::Memory: asked for " + std::to_string(asked) + " bytes");
    const auto octave = static_cast<std::size_t>(std::bit_width(asked - 1)) - 1;  // 2^octave < asked <= 2^(octave + 1)
    const std::size_t step = std::size_t{1} << (octave - 2);
    const std::size_t quarter = (asked - 1 - (std::size_t{1} << octave)) / step;
    index = 64 + (octave - 12) * 4 + quarter;
    bytes = (std::size_t{1} << octave) + (quarter + 1) * step;
  }
};

/// A bump allocator of address space. Address space is never reused, but its memory is returned.
class Chunks {
 public:
  /// \returns null when the system has no more
  void* cut(std::size_t bytes) {
    const std::size_t unit = bytes < huge_page ? std::size_t{4096} : huge_page;
    std::uintptr_t begin = round_up(next_, unit);
    if (begin + bytes > end_) {
      const std::size_t whole = round_up(bytes, huge_page);
      if (!map(whole < usual ? usual : whole) && !map(whole)) return nullptr;
      begin = next_;
    }
    next_ = begin + bytes;
    return reinterpret_cast<void*>(begin);
  }

 private:
  static constexpr std::size_t usual = 16 * huge_page;

  bool map(std::size_t bytes) {
    const std::size_t room = bytes + huge_page;  // so that it contains an aligned part of this size
    void* const found = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) return false;
    ::madvise(found, room, MADV_HUGEPAGE);
    next_ = round_up(reinterpret_cast<std::uintptr_t>(found), huge_page);
    end_ = next_ + bytes;
    return true;
  }

  std::uintptr_t next_ = 0, end_ = 0;
};

}  // namespace veneer::cpu

extern "C" {  // functions of the address sanitizer, null without it
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* begin, std::size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* begin, std::size_t bytes);
}

namespace veneer::cpu {

class Memory {
 public:
  /// Returns the arena of the process. It is never destroyed: a tensor with static storage may outlive everything else.
  static Memory& instance() {
    static Memory* memory = new Memory;
    return *memory;
  }

  /// Allocates uninitialised memory, aligned to at least 64 bytes.
  /// \throws MemoryError with the bytes requested and in use
  void* take(std::size_t bytes) {
    const SizeClass size(bytes);
    const std::lock_guard<std::mutex> lock(locked(), std::adopt_lock);
    std::vector<void*>& free = free_[size.index];
    if (free.empty()) {
      free.push_back(request(size));
    }
    void* block = free.back();
    free.pop_back();
    use_.used += size.bytes;
    if (use_.used > use_.peak) use_.peak = use_.used;
    if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(block, bytes);
    if (poison_.load(std::memory_order_relaxed)) std::memset(block, 0xff, bytes);  // NaN in every float type
    return block;
  }

  void give_back(void* block, std::size_t bytes) noexcept {
    const SizeClass size(bytes);
    const std::lock_guard<std::mutex> lock(locked(), std::adopt_lock);
    if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(block, size.bytes);
    free_[size.index].push_back(block);  // never exceeds the reserved capacity, see request()
    use_.used -= size.bytes;
  }

  MemoryUse use() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return use_;
  }

  void reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    use_.peak = use_.used;
  }

  /// Fills every new block with NaN, so that a read before a write shows. For tests.
  void poison(bool on) { poison_.store(on); }

  /// Returns cached blocks to the system.
  void trim() {
    const std::lock_guard<std::mutex> lock(mutex_);
    release_cached();
  }

 private:
  /// Returns the locked mutex. It is held for nanoseconds, so a thread spins before it sleeps.
  std::mutex& locked() {
    for (int look = 0; look < 200; ++look) {
      if (mutex_.try_lock()) return mutex_;
    }
    mutex_.lock();
    return mutex_;
  }

  void* request(const SizeClass& size) {
    void* block = from_system(size);
    if (block == nullptr) {
      release_cached();
      block = from_system(size);
    }
    if (block == nullptr) {
      throw MemoryError("veneer::cpu::Memory: the system gave no " + std::to_string(size.bytes) + " bytes (" +
                        std::to_string(use_.used) +
                        " bytes are in use); a smaller batch, shorter sequences or checkpointing need less");
    }
    ++use_.requests;
    use_.reserved += size.bytes;
    if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(block, size.bytes);
    std::vector<void*>& free = free_[size.index];
    ++total_[size.index];
    if (free.capacity() < total_[size.index] + 1) free.reserve(2 * total_[size.index] + 8);  // give_back cannot fail
    return block;
  }

  void* from_system(const SizeClass& size) {
    if (size.bytes < chunk_block) return std::aligned_alloc(64, size.bytes);
    std::vector<void*>& returned = returned_[size.index];
    if (returned.empty()) return chunks_.cut(size.bytes);
    void* block = returned.back();
    returned.pop_back();
    return block;
  }

  void release_cached() {
    for (std::size_t index = 0; index < free_.size(); ++index) {
      const std::size_t bytes = class_bytes(index);
      for (void* block : free_[index]) {
        if (bytes < chunk_block) {
          std::free(block);
        } else {
          ::madvise(block, bytes, MADV_DONTNEED);
          returned_[index].push_back(block);
        }
        --total_[index];
        use_.reserved -= bytes;
      }
      free_[index].clear();
    }
  }

  static std::size_t class_bytes(std::size_t index) {
    if (index < 64) return (index + 1) * 64;
    const std::size_t octave = (index - 64) / 4 + 12;
    return (std::size_t{1} << octave) + ((index - 64) % 4 + 1) * (std::size_t{1} << (octave - 2));
  }

  mutable std::mutex mutex_;
  std::array<std::vector<void*>, SizeClass::count> free_, returned_;  // returned: address space without memory
  Chunks chunks_;
  std::array<std::size_t, SizeClass::count> total_{};
  MemoryUse use_;
  std::atomic<bool> poison_{false};
};

/// Allocates shared, uninitialised memory for `count` values from the arena.
template <Scalar T>
std::shared_ptr<T> allocate(index_t count) {
  if (count < 0) throw ShapeError("veneer::allocate: a negative count");
  if (count > (index_t{1} << 46)) throw MemoryError("veneer::allocate: asked for " + std::to_string(count) + " values");
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
  T* block = static_cast<T*>(Memory::instance().take(bytes));
  return std::shared_ptr<T>(block, [bytes](T* old) { Memory::instance().give_back(old, bytes); });
}

}  // namespace veneer::cpu
