// SPDX-License-Identifier: Apache-2.0
/// \file specialization.hpp
/// is_specialization_of<std::vector, X>: true if X is a std::vector. The arguments of the template are types (P2098).
#pragma once

namespace veneer {

template <template <class...> class Template, class X>
inline constexpr bool is_specialization_of = false;
template <template <class...> class Template, class... Arguments>
inline constexpr bool is_specialization_of<Template, Template<Arguments...>> = true;

}  // namespace veneer
