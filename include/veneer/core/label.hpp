// SPDX-License-Identifier: Apache-2.0
/// \file label.hpp
/// The label of a token that is ignored by the loss, used in data sets and losses.
#pragma once

#include <cstdint>

namespace veneer {

/// A row with this label is ignored: Hugging Face's value.
inline constexpr std::int32_t ignored_label = -100;

}  // namespace veneer
