// SPDX-License-Identifier: Apache-2.0
/// \file label.hpp
/// The label of a token that does not count in a loss, in data sets and in losses alike.
#pragma once

#include <cstdint>

namespace veneer {

/// A row with this label does not count: Hugging Face's value.
inline constexpr std::int32_t ignored_label = -100;

}  // namespace veneer
