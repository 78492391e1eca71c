// SPDX-License-Identifier: Apache-2.0
// expect: veneer::Llama(ids): ids must be a vector of int32
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/llama.hpp"

#ifdef VENEER_MUST_FAIL
using Ids = veneer::Tensor<float, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#else
using Ids = veneer::Tensor<std::int32_t, veneer::Shape<veneer::dyn>, veneer::Cpu>;
#endif

using Model = veneer::Llama<veneer::LlamaExtents{}, veneer::Cpu, veneer::dense<float>>;
auto logits(const Model& model, const Ids& ids) { return model(ids, veneer::AttentionLayout::packed({ids.extent(0)})); }
