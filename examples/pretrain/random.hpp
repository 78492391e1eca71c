// SPDX-License-Identifier: Apache-2.0
/// \file random.hpp
/// SplitMix64: the random numbers of the synthetic data. Integers only, hence the same bytes on every machine.
///
///   s += 0x9E3779B97F4A7C15
///   z  = (s ^ (s >> 30)) * 0xBF58476D1CE4E5B9
///   z  = (z ^ (z >> 27)) * 0x94D049BB133111EB
///   next() = z ^ (z >> 31),   below(n) = next() mod n,   between(a, b) = a + below(b - a + 1)
///
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
///
/// An expression never contains two draws, since C++ does not specify their order, and the data would depend on it.
/// Braced lists are the exception: they are evaluated from left to right.
#pragma once

#include <cstddef>
#include <cstdint>

namespace veneer::pretrain {

/// A stream of 64-bit numbers; equal seeds give equal streams.
class SplitMix64 {
 public:
  explicit constexpr SplitMix64(std::uint64_t seed) : state_(seed) {}

  constexpr std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  /// Returns a number from 0 to count - 1; count must not be 0. The bias of the remainder, below count / 2^64, does
  /// not matter here.
  constexpr std::size_t below(std::size_t count) { return static_cast<std::size_t>(next() % count); }

  /// Returns a number from low to high, both included.
  constexpr int between(int low, int high) {
    return low + static_cast<int>(below(static_cast<std::size_t>(high - low) + 1));
  }

  /// Returns an element of a list, all with equal probability.
  template <class List>
  constexpr const auto& pick(const List& list) {
    return list[below(list.size())];
  }

  /// Returns true with probability 1 / `count`.
  constexpr bool one_in(std::size_t count) { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace veneer::pretrain
