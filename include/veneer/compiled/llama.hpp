// SPDX-License-Identifier: Apache-2.0
/// \file llama.hpp
/// Explicit instantiations of AnyLlama<>: logits, hidden states and losses, on a tape and without one, in float and in
/// bfloat16, with every adapter. See veneer/compiled.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "veneer/compiled/cpu.hpp"
#include "veneer/io/llama_checkpoint.hpp"

namespace veneer {

namespace compiled {
using Ids = Tensor<std::int32_t, Shape<dyn>, Cpu>;
using RecordedIds = Variable<std::int32_t, Shape<dyn>, Cpu>;
using Values = Tensor<float, Shape<dyn, dyn>, Cpu>;
using RecordedValues = Variable<float, Shape<dyn, dyn>, Cpu>;
using Layout = std::shared_ptr<const AttentionLayout>;
using Targets = std::vector<std::int32_t>;
}  // namespace compiled

extern template compiled::Values AnyLlama<>::hidden(const compiled::Ids&, const ForwardContext<float, Cpu>&) const;
extern template compiled::RecordedValues AnyLlama<>::hidden(const compiled::RecordedIds&,
                                                            const ForwardContext<float, Cpu>&) const;
extern template compiled::Values AnyLlama<>::head(const compiled::Values&) const;
extern template compiled::RecordedValues AnyLlama<>::head(const compiled::RecordedValues&) const;
extern template compiled::Values AnyLlama<>::logits(const compiled::Ids&, compiled::Layout) const;
extern template compiled::RecordedValues AnyLlama<>::logits(const compiled::RecordedIds&, compiled::Layout) const;
extern template Tensor<float, Shape<1>, Cpu> AnyLlama<>::loss_over(const compiled::Ids&, compiled::Layout,
                                                                   const compiled::Targets&, double) const;
extern template Variable<float, Shape<1>, Cpu> AnyLlama<>::loss_over(const compiled::RecordedIds&, compiled::Layout,
                                                                     const compiled::Targets&, double) const;

}  // namespace veneer
