// SPDX-License-Identifier: Apache-2.0
/// \file module.hpp
/// A module is a struct with `fields`: a tuple of names and member pointers. No base class, no registration.
///
///   struct Mlp {
///     Linear<...> up, down;
///     static constexpr auto fields = std::tuple{field("up", &Mlp::up), field("down", &Mlp::down)};
///   };
/// The names are the keys of checkpoints: visit_parameters(model, f) calls f("layers.0.up.lora_A.weight", parameter). A
/// vector
/// of modules adds its index; a field whose name is empty adds nothing; a slot that holds something is looked into. A
/// layer with a member `absent` that is true is skipped: model families differ in which layers they have.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/autograd/tape.hpp"

namespace veneer {

template <class Owner, class Member>
struct Field {
  using Pointer = Member Owner::*;  // named: what nvcc makes of the plain declaration draws a warning from g++
  const char* name;
  Pointer member;
};

/// One entry of `fields`.
template <class Owner, class Member>
constexpr Field<Owner, Member> field(const char* name, Member Owner::*member) {
  return {name, member};
}

/// A struct with fields.
template <class M>
concept Module = requires { std::remove_cvref_t<M>::fields; };

namespace detail {

inline std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : name.empty() ? prefix : prefix + "." + name;
}

template <class X>
struct IsVector : std::false_type {};
template <class X>
struct IsVector<std::vector<X>> : std::true_type {};

/// Something that holds one of several things, or none: it calls f with what it holds.
template <class X>
concept SlotLike = requires(X& slot) { slot.look([](auto&) {}); };

/// Whether a layer is one that this model does not have.
template <class M>
bool absent(const M& member) {
  if constexpr (requires { member.absent; }) return member.absent;
  return false;
}

template <class M, class F>
void walk(const std::string& name, M& member, const F& f);

template <class M, class F, std::size_t... I>
void walk_fields(const std::string& name, M& root, const F& f, std::index_sequence<I...>) {
  (walk(join(name, std::get<I>(std::remove_const_t<M>::fields).name),
        root.*(std::get<I>(std::remove_const_t<M>::fields).member), f),
   ...);
}

template <class M, class F>
void walk(const std::string& name, M& member, const F& f) {
  if constexpr (IsVector<std::remove_const_t<M>>::value) {
    for (std::size_t i = 0; i < member.size(); ++i) walk(join(name, std::to_string(i)), member[i], f);
  } else if (!absent(member)) {
    f(name, member);
    if constexpr (Module<M>) {
      using Fields = std::remove_cvref_t<decltype(std::remove_const_t<M>::fields)>;
      walk_fields(name, member, f, std::make_index_sequence<std::tuple_size_v<Fields>>{});
    } else if constexpr (SlotLike<M>) {
      member.look([&](auto& held) { walk(name, held, f); });
    }
  }
}

}  // namespace detail

/// Calls f(name, part) for the module itself, for every module inside it, and for every leaf, owners first.
template <class M, class F>
void visit(M& root, const F& f, const std::string& prefix = "") {
  static_assert(Module<M> || detail::IsVector<std::remove_const_t<M>>::value || detail::SlotLike<M> || ValueLike<M>,
                "veneer::visit(model): the model is a struct without `fields`, so nothing in it would be found");
  detail::walk(prefix, root, f);
}

/// Calls f(name, parameter) for every Parameter that holds a value.
template <class M, class F>
void visit_parameters(M& root, const F& f) {
  visit(root, [&](const std::string& name, auto& part) {
    if constexpr (ParameterLike<decltype(part)>) {
      if (part) f(name, part);
    }
  });
}

/// The number of trainable values.
template <class M>
index_t trainable_count(M& root) {
  index_t count = 0;
  visit_parameters(root, [&](const std::string&, auto& parameter) { count += parameter.count(); });
  return count;
}

/// Forgets all gradients.
template <class M>
void clear_gradients(M& root) {
  visit_parameters(root, [](const std::string&, auto& parameter) { parameter.clear_gradient(); });
}

}  // namespace veneer
