// SPDX-License-Identifier: Apache-2.0
/// \file cpu.hpp
/// Cpu: the four verbs on the host. An empty handle; threads and memory are global to the process.
///
/// for_each and reduce_rows are plain loops that a compiler vectorises; work is divided by its size alone, so results
/// have the same bits with any number of threads. A sum has 16 lanes that are reduced at the end, in float.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "veneer/backend/concept.hpp"
#include "veneer/backend/cpu/matmul.hpp"
#include "veneer/backend/cpu/memory.hpp"
#include "veneer/backend/cpu/pool.hpp"

namespace veneer {

struct Cpu {
  /// Allocates uninitialised memory for `count` values.
  /// \throws MemoryError when the system has no more
  template <Scalar T>
  std::shared_ptr<T> allocate(index_t count) const {
    return cpu::allocate<T>(count);
  }

  template <Scalar T>
  void copy_in(T* device, const T* host, index_t count) const {
    if (count > 0) std::memcpy(device, host, static_cast<std::size_t>(count) * sizeof(T));
  }

  template <Scalar T>
  void copy_out(T* host, const T* device, index_t count) const {
    if (count > 0) std::memcpy(host, device, static_cast<std::size_t>(count) * sizeof(T));
  }

  /// Calls body(i) for i in [0, count), in any order, concurrently.
  /// \param cost  number of elementary steps of one body; a hint
  template <class Body>
  void for_each(index_t count, const Body& body, index_t cost = 1) const {
    in_pieces(count, cost, [&body](index_t begin, index_t end) { loop(begin, end, body); });
  }

  /// Calls body(r, c) for r in [0, rows) and c in [0, columns), in any order: rows are divided among threads,
  /// columns are vectorised.
  /// \param cost  number of elementary steps of one body; a hint
  template <class Body>
  void for_each(index_t rows, index_t columns, const Body& body, index_t cost = 1) const {
    in_pieces(rows, std::max<index_t>(1, cost) * columns,
              [&body, columns](index_t begin, index_t end) { loop(begin, end, columns, body); });
  }

  /// Computes out[r] = reduction of load(r, c) over c in [0, columns), for r in [0, rows).
  template <class Monoid, class Load>
  void reduce_rows(Monoid, index_t rows, index_t columns, const Load& load, typename Monoid::value_type* out) const {
    in_pieces(rows, columns, [&load, columns, out](index_t begin, index_t end) {
      for (index_t r = begin; r < end; ++r) out[r] = fold<Monoid>(r, columns, load);
    });
  }

  /// Optional verb: computes out[c] = sum over r of value(r, c), for c in [0, columns).
  template <class Value, Real C>
  void sum_columns(index_t rows, index_t columns, const Value& value, C* out) const {
    const auto sum = [&value, rows, columns, out](index_t begin, index_t end) {
      constexpr index_t width = sum_width;
      const Value own = value;
      for (index_t first = begin * width; first < std::min<index_t>(columns, end * width); first += width) {
        const index_t count = std::min<index_t>(width, columns - first);
        C sums[std::size_t{width}] = {};
        for (index_t r = 0; r < rows; ++r) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
          for (index_t c = 0; c < count; ++c) sums[c] += static_cast<C>(own(r, first + c));
        }
        std::copy_n(sums, count, out + first);
      }
    };
    in_pieces(ceil_div(columns, sum_width), rows * sum_width, sum);
  }

  template <Stored In, Stored Out>
  void gemm(const Gemm<In, Out>& problem) const {
    cpu::Pool::instance().run(problem.batch, [&](index_t i) {
      Gemm<In, Out> one = problem;
      one.a += i * problem.stride_a, one.b += i * problem.stride_b, one.c += i * problem.stride_c;
      cpu::matmul(matmul_of(one));
    });
  }

  /// Optional verb: computes a sum of matmuls of operands of any storage type.
  void matmul(const Matmul& product) const { cpu::matmul(product); }

  /// Optional verb: decodes the first `count` elements of a coded weight, in runs.
  template <class To>
    requires(std::same_as<To, float> || std::same_as<To, bfloat16>)
  void decode(const RunDecoder& decoder, const void* weight, index_t count, To* to) const {
    cpu::Pool::instance().run(ceil_div(count, task_work), [&](index_t task) {
      const index_t first = task * task_work, part = std::min(task_work, count - first);
      if constexpr (std::same_as<To, float>) {
        decoder.to_float(weight, first, part, to + first);
      } else {
        decoder.to_bfloat16(weight, first, part, to + first);
      }
    });
  }

  /// Optional verb: calls f(0) ... f(count - 1) concurrently; verbs called in f run on its thread.
  template <class F>
  void concurrently(index_t count, const F& f) const {
    cpu::Pool::instance().run(count, f);
  }

  /// Waits for all previous work. On the CPU it is already done.
  void synchronize() const {}

  /// Optional verb: returns cached free memory to the system.
  void trim() const { cpu::Memory::instance().trim(); }

  /// Returns the number of threads of this backend.
  static int threads() { return cpu::Pool::instance().size(); }
  static void set_threads(int count) { cpu::Pool::instance().resize(count); }

 private:
  static constexpr index_t task_work = 16384;
  static constexpr int lanes = 16;
  static constexpr index_t sum_width = 128;  // columns that are summed together

  /// A type-erased loop over a range: the pool is compiled once for all loops, and each loop once.
  struct Pieces {
    void (*call)(const void*, index_t, index_t);
    const void* f;
    index_t count, grain;
    void operator()(index_t i) const { call(f, i * grain, std::min(count, (i + 1) * grain)); }
  };

  /// Calls f(begin, end) on parts of [0, count), concurrently. The division depends only on count and cost.
  template <class F>
  static void in_pieces(index_t count, index_t cost, const F& f) {
    const index_t grain = std::max<index_t>(1, task_work / std::max<index_t>(1, cost));
    const auto call = [](const void* g, index_t begin, index_t end) { (*static_cast<const F*>(g))(begin, end); };
    cpu::Pool::instance().run(ceil_div(count, grain), Pieces{call, &f, count, grain});
  }

  template <class Body>
  static void loop(index_t begin, index_t end, const Body& shared) {
    const Body body = shared;  // a copy on the stack: its pointers cannot alias its output
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep  // not needed for clang, which checks for overlap at run time
#endif
    for (index_t i = begin; i < end; ++i) body(i);
  }

  template <class Body>
  static void loop(index_t begin, index_t end, index_t columns, const Body& shared) {
    const Body body = shared;
    for (index_t r = begin; r < end; ++r) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
      for (index_t c = 0; c < columns; ++c) body(r, c);
    }
  }

  template <class Monoid, class Load>
  static typename Monoid::value_type fold(index_t row, index_t columns, const Load& load) {
    using T = typename Monoid::value_type;
    T lane[lanes];
    for (T& value : lane) value = Monoid::identity();
    index_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1  // a loop is vectorised with its conditions, 16 statements are not
#endif
      for (int j = 0; j < lanes; ++j) lane[j] = Monoid::combine(lane[j], static_cast<T>(load(row, c + j)));
    }
    for (int j = 0; c < columns; ++c, ++j) lane[j] = Monoid::combine(lane[j], static_cast<T>(load(row, c)));
    for (int width = lanes / 2; width > 0; width /= 2) {
      for (int j = 0; j < width; ++j) lane[j] = Monoid::combine(lane[j], lane[j + width]);
    }
    return lane[0];
  }
};

static_assert(Backend<Cpu>);

}  // namespace veneer
