// SPDX-License-Identifier: Apache-2.0
/// \file several_slot.hpp
/// SeveralSlot<Slot>: a slot that accepts the adapters of Slot, a sum of them, and a choice among them by rows.
///
///   SeveralSlot<AdapterSlot<Low, Whole, ...>>   Low: the low-rank adapter, trainable in a sum
///                                               Whole: not a low-rank term; computes its rows completely
/// A single adapter has no overhead: the variant only has two more alternatives.
#pragma once

#include "veneer/nn/adapter.hpp"
#include "veneer/peft/mixed_adapter.hpp"
#include "veneer/peft/sum_adapter.hpp"

namespace veneer {

namespace detail {
template <class Slot, Backend B, Real T>
struct SlotOfSeveral;
template <class None, class Low, class Whole, class... More, Backend B, Real T>
struct SlotOfSeveral<BasicAdapterSlot<None, Low, Whole, More...>, B, T> {
  using sum = SumAdapter<None, B, T, Low>;
  using mixed = MixedAdapter<None, B, T, Whole>;
  using type = BasicAdapterSlot<None, Low, Whole, More..., sum, mixed>;
};
}  // namespace detail

template <class Slot, Backend B, Real T>
using SeveralSlot = typename detail::SlotOfSeveral<Slot, B, T>::type;

}  // namespace veneer
