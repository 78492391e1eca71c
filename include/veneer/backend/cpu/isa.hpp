// SPDX-License-Identifier: Apache-2.0
/// \file isa.hpp
/// kernels(): the table of the best instruction set of this processor, determined once. For example, VENEER_ISA=avx2
/// selects a lower one.
///
/// The choice depends on the processor, not on features alone: vdpbf16ps is twice as fast as float on AMD's Zen 4 and
/// 5, and half as fast on Intel's processors, which have AMX instead.
#pragma once

#include <array>
#include <cstdlib>
#include <string>

#include "veneer/backend/cpu/generic/kernels.hpp"
#include "veneer/core/error.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <unistd.h>

#include <sys/syscall.h>

#include "veneer/backend/cpu/amx/kernels.hpp"
#include "veneer/backend/cpu/avx2/kernels.hpp"
#include "veneer/backend/cpu/avx512/kernels.hpp"
#include "veneer/backend/cpu/avx512bf16/kernels.hpp"
#endif

namespace veneer::cpu {

/// A table, whether this processor has its instructions, and whether it may be selected by default.
struct InstructionSet {
  const Kernels* kernels = nullptr;
  bool usable = false, worthwhile = true;
};

namespace detail {
#if defined(__x86_64__)
struct Features {
  bool avx2 = false, avx512 = false, avx512bf16 = false, amx = false, amd = false;

  Features() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0, &a, &b, &c, &d) == 0) return;
    amd = b == signature_AMD_ebx || b == 0x6f677948;  // "Hygo"
    __get_cpuid(1, &a, &b, &c, &d);
    const bool fma = (c >> 12) % 2 == 1, f16c = (c >> 29) % 2 == 1, saves = (c >> 27) % 2 == 1;
    if (!saves || !fma || !f16c) return;
    const unsigned long long kept = enabled_state();
    unsigned a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;
    __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
    avx2 = (kept & 0x6) == 0x6 && (b >> 5) % 2 == 1;
    constexpr unsigned needed = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // avx512 f, dq, bw, vl
    avx512 = avx2 && (kept & 0xe6) == 0xe6 && (b & needed) == needed;
    avx512bf16 = avx512 && (a1 >> 5) % 2 == 1;
    amx = avx512 && (kept & 0x60000) == 0x60000 && (d >> 22) % 2 == 1 && (d >> 24) % 2 == 1 && tiles_granted();
  }

 private:
  static unsigned long long enabled_state() {
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return static_cast<unsigned long long>(high) << 32 | low;
  }
  /// Requests tiles from Linux, for all threads of the process; returns whether they are granted.
  static bool tiles_granted() {
#if defined(__linux__)
    constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ::syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
    return false;
#endif
  }
};
#endif
}  // namespace detail

#if defined(__x86_64__)
using InstructionSets = std::array<InstructionSet, 5>;
#else
using InstructionSets = std::array<InstructionSet, 1>;
#endif

/// Returns the instruction sets, from the lowest to the best. A template, so that veneer::compiled can
/// contain the kernels.
template <class = void>
const InstructionSets& instruction_sets() {
#if defined(__x86_64__)
  static const InstructionSets sets = [] {
    const detail::Features has;
    return InstructionSets{{{&generic::table, true},
                            {&avx2::table, has.avx2},
                            {&avx512::table, has.avx512},
                            {&avx512bf16::table, has.avx512bf16, has.amd},
                            {&amx::table, has.amx}}};
  }();
#else
  static const InstructionSets sets{{{&generic::table, true}}};
#endif
  return sets;
}

/// Returns the table with this name.
/// \throws ArgumentError when there is none, or when this processor lacks the instructions
inline const Kernels& kernels_named(const std::string& name) {
  std::string usable;
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.usable) continue;
    if (name == set.kernels->name) return *set.kernels;
    usable += (usable.empty() ? "" : ", ") + std::string(set.kernels->name);
  }
  throw ArgumentError("VENEER_ISA=" + name + ": this processor has " + usable);
}

/// Returns the table named `forced`, or the best one if it is null or empty.
/// \throws ArgumentError as kernels_named
inline const Kernels& choose_kernels(const char* forced) {
  if (forced != nullptr && *forced != '\0') return kernels_named(forced);
  const Kernels* best = nullptr;
  for (const InstructionSet& set : instruction_sets()) {
    if (set.usable && set.worthwhile) best = set.kernels;
  }
  return *best;
}

namespace detail {
inline const Kernels*& chosen_kernels() {
  static const Kernels* chosen = &choose_kernels(std::getenv("VENEER_ISA"));
  return chosen;
}
}  // namespace detail

/// Returns the table in use.
/// \throws ArgumentError when VENEER_ISA names one that this processor lacks
inline const Kernels& kernels() { return *detail::chosen_kernels(); }

/// Selects another table; no matmul may be running. For tests and benchmarks.
inline void use_kernels(const Kernels& table) { detail::chosen_kernels() = &table; }

}  // namespace veneer::cpu
