// SPDX-License-Identifier: Apache-2.0
/// \file few_rows.hpp
/// FewRows: few rows of A against rows of B, the product of a decoding step. Nothing is packed, each row of B is read
/// once as it is stored, and so the product costs what reading the weight costs.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "veneer/backend/cpu/pool.hpp"
#include "veneer/backend/cpu/tile.hpp"

namespace veneer::cpu {

/// Few rows of A against rows of B, by dot products in float, or double.
template <Real T>
class FewRows {
 public:
  FewRows(const Kernels& kernels, const Product& p) : k_(kernels), p_(p), left_(allocate<T>(left_values(p))) {
    T* to = left_.get();
    for (int t = 0; t < p.count; ++t) {
      const Term& term = p.terms[t];
      for (index_t i = 0; i < p.m; ++i, to += term.k) {
        if (term.scale == 0.0) continue;
        const T* from = read_row<T>(k_, term.a, i, 0, term.k, to);
        if (from != to && term.k > 0) std::memcpy(to, from, static_cast<std::size_t>(term.k) * sizeof(T));
      }
    }
  }

  static bool suits(const Product& p, index_t few) {
    if (p.m > few || p.terms[0].k < 64) return false;
    for (int t = 0; t < p.count; ++t) {
      if (p.terms[t].a.transposed || !p.terms[t].b.transposed) return false;
    }
    return true;
  }

  static index_t columns_of_task(const Product& p) {
    const index_t worth = (index_t{1} << 18) / (p.m * p.terms[0].k + 1) + 4;
    return std::min<index_t>(worth, 64) / 4 * 4;
  }
  static index_t tasks(const Product& p) { return (p.n + columns_of_task(p) - 1) / columns_of_task(p); }
  static index_t left_values(const Product& p) {
    index_t steps = 0;
    for (int t = 0; t < p.count; ++t) steps += p.terms[t].k;
    return p.m * steps;
  }
  static index_t room(const Product& p) {
    index_t deepest = 0;
    for (int t = 0; t < p.count; ++t) deepest = std::max(deepest, p.terms[t].k);
    return 4 * deepest + 8 * p.m;
  }

  void run() const {
    const index_t width = columns_of_task(p_);
    Pool::instance().run(tasks(p_), [&](index_t task) {
      const auto room = allocate<T>(this->room(p_));
      const index_t end = std::min(p_.n, (task + 1) * width);
      for (index_t column = task * width; column < end; column += 4) {
        four_columns(column, std::min<index_t>(4, end - column), room.get());
      }
    });
  }

 private:
  void four_columns(index_t column, index_t columns, T* room) const {
    T *found = room, *sums = room + 4 * p_.m, *decoded = room + 8 * p_.m;
    for (index_t i = 0; i < p_.m; ++i) load_sums(p_, sums + 4 * i, i, column, columns);
    const T* left = left_.get();
    for (int t = 0; t < p_.count; left += p_.m * p_.terms[t].k, ++t) {
      const Term& term = p_.terms[t];
      if (term.scale == 0.0) continue;
      Dots<T> dots{.steps = term.k, .a = left, .a_stride = term.k, .rows = p_.m};
      dots.columns = columns, dots.c = found, dots.c_stride = 4;
      place_rows(term, column, columns, decoded, dots);
      if constexpr (std::is_same_v<T, float>) {
        k_.dots(dots);
      } else {
        k_.dots64(dots);
      }
      for (index_t i = 0; i < 4 * p_.m; ++i) {
        if (i % 4 < columns) sums[i] += static_cast<T>(term.scale) * found[i];
      }
    }
    for (index_t i = 0; i < p_.m; ++i) store_sums(k_, p_, sums + 4 * i, i, column, columns);
  }

  void place_rows(const Term& term, index_t column, index_t columns, T* room, Dots<T>& dots) const {
    if (term.b.storage == storage_of<T>) {
      dots.b = static_cast<const T*>(term.b.data) + column * term.b.stride, dots.b_stride = term.b.stride;
      return;
    }
    for (index_t j = 0; j < columns; ++j) read_row<T>(k_, term.b, column + j, 0, term.k, room + j * term.k);
    dots.b = room, dots.b_stride = term.k;
  }

  const Kernels& k_;
  const Product& p_;
  std::shared_ptr<T> left_;
};

}  // namespace veneer::cpu
