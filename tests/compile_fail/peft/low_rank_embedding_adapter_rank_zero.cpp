// SPDX-License-Identifier: Apache-2.0
// expect: veneer::LowRankEmbeddingAdapter<Backend, Rank>: Rank must be at least 1, or dyn
#include "veneer/backend/cpu.hpp"
#include "veneer/peft/lora.hpp"

#ifdef VENEER_MUST_FAIL
constexpr veneer::index_t rank = 0;
#else
constexpr veneer::index_t rank = 2;
#endif

auto adapter() { return veneer::LowRankEmbeddingAdapter<veneer::Cpu, rank>(veneer::Shape<8, 4>()); }
