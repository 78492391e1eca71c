// SPDX-License-Identifier: Apache-2.0
// expect: veneer::attach: the slot of a linear layer must take LowRankAdapter<Backend, dyn, T>
#include "veneer/backend/cpu.hpp"
#include "veneer/peft/attach.hpp"

using namespace veneer;

#ifdef VENEER_MUST_FAIL
using Slot = AdapterSlot<LowRankAdapter<Cpu, 16>>;  // this rank alone
#else
using Slot = AdapterSlot<LowRankAdapter<Cpu>>;
#endif

struct Model {
  Linear<Matrix<float, Cpu>, Slot> up;
  static constexpr auto fields = std::tuple{field("up", &Model::up)};
};

void adapt(Model& model) { attach(model, {.target_modules = {"up"}}); }
