// SPDX-License-Identifier: Apache-2.0
/// \file few_rows.hpp
/// FewRows: the matmul of few rows of A with rows of B, as in a decoding step. Nothing is packed, and each row of B is
/// read once in its storage type, so the matmul takes the time of reading the weight.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "veneer/backend/cpu/pool.hpp"
#include "veneer/backend/cpu/tile.hpp"

namespace veneer::cpu {

/// A buffer of uninitialised values: few on the stack, more of them in the arena.
template <Real T>
class Scratch {
 public:
  static constexpr index_t on_stack = 4096;
  explicit Scratch(index_t count) : far_(count > on_stack ? allocate<T>(count) : nullptr) {}
  T* get() { return far_ ? far_.get() : near_; }
  /// Returns the number of values allocated in the arena.
  static index_t taken(index_t count) { return count > on_stack ? count : 0; }

 private:
  std::shared_ptr<T> far_;
  alignas(64) T near_[std::size_t{on_stack}];
};

/// The matmul of few rows of A with rows of B, by dot products in float, or double.
template <Real T>
class FewRows {
 public:
  FewRows(const Kernels& kernels, const Matmul& p) : k_(kernels), p_(p), left_(left_values(p)) {
    T* to = left_.get();
    for (int t = 0; t < p.count; ++t) {
      const Term& term = p.terms[t];
      for (index_t i = 0; i < p.m; ++i, to += term.k) {
        if (idle(term)) continue;
        const T* from = read_row<T>(k_, term.a, i, 0, term.k, to);
        if (from != to) std::memcpy(to, from, static_cast<std::size_t>(term.k) * sizeof(T));
      }
    }
  }

  static bool suits(const Matmul& p, index_t few) {
    if (p.m > few) return false;
    for (int t = 0; t < p.count; ++t) {
      if (p.terms[t].a.transposed || !p.terms[t].b.transposed) return false;
    }
    return true;
  }

  static index_t columns_of_task(const Matmul& p) {
    const index_t worth = (index_t{1} << 18) / (p.m * p.terms[0].k + 1) + 4;
    return std::min(worth, std::max(index_t{64}, p.n / 4)) / 4 * 4;
  }
  static index_t tasks(const Matmul& p) { return ceil_div(p.n, columns_of_task(p)); }
  /// Returns the bytes of the arena for A, and for each task.
  static index_t shared_bytes(const Matmul& p) { return Scratch<T>::taken(left_values(p)) * size; }
  static index_t task_bytes(const Matmul& p) { return Scratch<T>::taken(room(p)) * size; }

  static index_t left_values(const Matmul& p) {
    index_t steps = 0;
    for (int t = 0; t < p.count; ++t) steps += p.terms[t].k;
    return p.m * steps;
  }
  static index_t room(const Matmul& p) {
    index_t deepest = 0;
    for (int t = 0; t < p.count; ++t) deepest = std::max(deepest, p.terms[t].k);
    return 2 * p.m * columns_of_task(p) + CodedDots::room_of(p.m, deepest);
  }

  void run() {
    const index_t width = columns_of_task(p_);
    const T* left = left_.get();
    Pool::instance().run(tasks(p_), [&, left](index_t task) {
      Scratch<T> room(this->room(p_));
      columns(left, task * width, std::min(width, p_.n - task * width), room.get());
    });
  }

 private:
  /// Returns whether a term adds nothing; its operands are then not read.
  static bool idle(const Term& term) { return term.scale == 0.0 || term.k == 0; }

  static constexpr auto size = static_cast<index_t>(sizeof(T));

  void columns(const T* left, index_t first, index_t count, T* room) const {
    T *sums = room, *found = sums + p_.m * count, *rest = found + p_.m * count;
    for (index_t i = 0; i < p_.m; ++i) load_sums(p_, sums + i * count, i, first, count);
    for (int t = 0; t < p_.count; left += p_.m * p_.terms[t].k, ++t) {
      const Term& term = p_.terms[t];
      if (idle(term)) continue;
      dots(term.b, {term.k, left, term.k, p_.m, nullptr, term.b.stride, count, found, count}, first, rest);
      for (index_t i = 0; i < p_.m * count; ++i) sums[i] += static_cast<T>(term.scale) * found[i];
    }
    for (index_t i = 0; i < p_.m; ++i) store_sums(k_, p_, sums + i * count, i, first, count);
  }

  /// \param dots  all members except B, which is the rows of b from `first` on
  void dots(const Operand& b, Dots<T> dots, index_t first, T* room) const {
    if (b.storage == storage_of<T>) {
      dots.b = static_cast<const T*>(b.data) + first * b.stride;
      run(dots);
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      if (as_stored(b, dots, first, room)) return;
    }
    dots.columns = 1;
    for (index_t j = 0; j < dots.c_stride; ++j, ++dots.c) {
      dots.b = read_row<T>(k_, b, first + j, 0, dots.steps, room);
      run(dots);
    }
  }

  /// Multiplies without decoding rows first, if there is a kernel for that. Returns whether it did.
  bool as_stored(const Operand& b, const Dots<float>& d, index_t first, float* room) const {
    if (b.storage == Storage::bfloat16) {
      Dots<float, bfloat16> stored;
      stored.steps = d.steps, stored.a = d.a, stored.a_stride = d.a_stride, stored.rows = d.rows;
      stored.b = static_cast<const bfloat16*>(b.data) + first * b.stride, stored.b_stride = b.stride;
      stored.columns = d.columns, stored.c = d.c, stored.c_stride = d.c_stride;
      k_.dots_bfloat16(stored);
      return true;
    }
    if (b.storage != Storage::coded || b.decoder->dots == nullptr) return false;
    CodedDots coded;
    coded.steps = d.steps, coded.a = d.a, coded.rows = d.rows;
    coded.first = first * b.stride, coded.stride = b.stride, coded.columns = d.columns;
    coded.c = d.c, coded.room = room;
    return b.decoder->dots(b.data, coded);
  }

  void run(const Dots<float>& dots) const { k_.dots(dots); }
  void run(const Dots<double>& dots) const { k_.dots64(dots); }

  const Kernels& k_;
  const Matmul& p_;
  Scratch<T> left_;
};

}  // namespace veneer::cpu
