// SPDX-License-Identifier: Apache-2.0
/// \file pool.hpp
/// Pool: a small thread pool. run(tasks, f) calls f(0) ... f(tasks - 1), each once, on any free thread.
///
/// The thread of a task never changes its result: callers divide work by the shape of the data, not by the number of
/// threads, so results have the same bits with any number of threads. OpenMP is not used, because it divides work by
/// the number of threads, and its threads spin while others are busy. A job ends when its tasks are done, without
/// waiting for sleeping threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "veneer/core/shape.hpp"

namespace veneer::cpu {

class Pool {
 public:
  /// Returns the pool of the process: one thread per core of the machine, until `resize` is called.
  static Pool& instance() {
    static Pool pool;
    return pool;
  }

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { stop(); }

  /// Returns the number of threads, including the caller's.
  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Changes the number of threads, at least 1; waits until no other thread is in run().
  void resize(int threads) {
    const std::lock_guard<std::mutex> owner(owner_);
    if (threads == size()) return;
    stop();
    start(threads < 1 ? 1 : threads);
  }

  /// Calls f(index) for index in [0, tasks) and returns when all are done. An exception of a task is rethrown here.
  /// Nested calls, and calls while another thread uses the pool, run on the calling thread alone.
  template <class F>
  void run(index_t tasks, const F& f) {
    if (tasks <= 0) return;
    if (tasks == 1 || tasks >= closed || inside() || !owner_.try_lock()) {
      for (index_t task = 0; task < tasks; ++task) f(task);
      return;
    }
    const std::lock_guard<std::mutex> owner(owner_, std::adopt_lock);
    const std::uint32_t generation =
        publish([](const void* g, index_t task) { (*static_cast<const F*>(g))(task); }, &f, tasks);
    work(generation);
    index_t done = done_.load(std::memory_order_acquire);
    for (int look = 0; done != tasks; ++look, done = done_.load(std::memory_order_acquire)) {
      look < 4000 ? pause() : done_.wait(done);
    }
    if (failed_.load()) rethrow();
  }

 private:
  using Call = void (*)(const void*, index_t);
  static constexpr index_t closed = 0xffffffff;  // as a task index: no task remains

  Pool() { start(static_cast<int>(std::thread::hardware_concurrency())); }

  static bool& inside() {
    thread_local bool flag = false;
    return flag;
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  /// Publishes a job. The ticket contains the generation and the next task to claim. It is closed before the fields of
  /// a job change, so a late thread that reads a mixture of two jobs cannot claim a task.
  std::uint32_t publish(Call call, const void* function, index_t tasks) {
    const std::uint32_t generation = generation_.load() + 1;
    ticket_.store((std::uint64_t{generation - 1} << 32) | std::uint64_t{closed});
    call_.store(call, std::memory_order_release);
    function_.store(function, std::memory_order_release);
    tasks_.store(tasks, std::memory_order_release);
    done_.store(0);
    failed_.store(false);
    ticket_.store(std::uint64_t{generation} << 32);
    generation_.store(generation);
    generation_.notify_all();
    return generation;
  }

  void work(std::uint32_t generation) {
    const Call call = call_.load(std::memory_order_acquire);
    const void* function = function_.load(std::memory_order_acquire);
    const index_t tasks = tasks_.load(std::memory_order_acquire);
    inside() = true;
    std::uint64_t ticket = ticket_.load();
    while ((ticket >> 32) == generation && static_cast<index_t>(ticket & 0xffffffff) < tasks) {
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
      try {
        call(function, static_cast<index_t>(ticket & 0xffffffff));
      } catch (...) {
        const std::lock_guard<std::mutex> lock(failing_);
        if (!failed_.exchange(true)) failure_ = std::current_exception();
      }
      done_.fetch_add(1, std::memory_order_acq_rel);
      done_.notify_one();
      ticket = ticket_.load();
    }
    inside() = false;
  }

  void rethrow() {
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    std::rethrow_exception(failure);
  }

  void start(int threads) {
    stopping_.store(false);
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, seen = generation_.load()] { serve(seen); });
  }

  void stop() {
    stopping_.store(true);
    ticket_.store((std::uint64_t{generation_.load()} << 32) | std::uint64_t{closed});
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  void serve(std::uint32_t seen) {
    for (;;) {
      // A training step publishes jobs every few microseconds, so threads spin before sleeping.
      for (int look = 0; look < 4000 && generation_.load(std::memory_order_acquire) == seen; ++look) pause();
      generation_.wait(seen);
      if (stopping_.load()) return;
      seen = generation_.load();
      work(seen);
    }
  }

  std::mutex owner_;  // one caller at a time
  std::vector<std::thread> workers_;
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<std::uint64_t> ticket_{std::uint64_t{closed}};
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> function_{nullptr};
  std::atomic<index_t> tasks_{0};
  std::atomic<index_t> done_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> stopping_{false};
  std::mutex failing_;
  std::exception_ptr failure_;
};

}  // namespace veneer::cpu
