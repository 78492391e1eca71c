// SPDX-License-Identifier: Apache-2.0
// expect: veneer::LowRankEmbeddingAdapter(table): the shape must be that of a matrix (vocabulary, features)
#include "veneer/backend/cpu.hpp"
#include "veneer/peft/lora.hpp"

#ifdef VENEER_MUST_FAIL
using Table = veneer::Shape<8>;
#else
using Table = veneer::Shape<8, 4>;
#endif

auto adapter() { return veneer::LowRankEmbeddingAdapter<veneer::Cpu, 2>(Table()); }
