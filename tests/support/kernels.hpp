// SPDX-License-Identifier: Apache-2.0
/// \file kernels.hpp
/// Helpers to run tests of matmuls with the kernels of every instruction set of the processor.
#pragma once

#include "veneer/backend/cpu.hpp"

namespace veneer::testing {

/// A scope that restores the table in use.
class KernelsRestored {
 public:
  KernelsRestored() = default;
  ~KernelsRestored() { cpu::use_kernels(before_); }
  KernelsRestored(const KernelsRestored&) = delete;
  KernelsRestored& operator=(const KernelsRestored&) = delete;

 private:
  const cpu::Kernels& before_ = cpu::kernels();
};

/// A scope that restores the number of threads.
class ThreadsRestored {
 public:
  ThreadsRestored() = default;
  ~ThreadsRestored() { Cpu::set_threads(before_); }
  ThreadsRestored(const ThreadsRestored&) = delete;
  ThreadsRestored& operator=(const ThreadsRestored&) = delete;

 private:
  int before_ = Cpu::threads();
};

/// Calls f(kernels) with each table that this processor supports in use. A case of isa_test names the others.
template <class F>
void with_each_set(const F& f) {
  const KernelsRestored restored;
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    if (!set.usable) continue;
    cpu::use_kernels(*set.kernels);
    f(*set.kernels);
  }
}

}  // namespace veneer::testing
