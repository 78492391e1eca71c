// SPDX-License-Identifier: Apache-2.0
/// \file module.hpp
/// A module is a struct with `fields`: a tuple of names and member pointers. No base class, no registration.
///
///   struct Mlp {
///     Linear<...> up, down;
///     static constexpr auto fields = std::tuple{field("up", &Mlp::up), field("down", &Mlp::down)};
///   };
/// The names are the keys of checkpoints: visit_parameters(model, f) calls f("layers.0.up.lora_A.weight", parameter). A
/// vector of modules adds its index; a field with an empty name adds nothing; the contents of a slot are visited. A
/// layer whose member `absent` is true is skipped: model families differ in which layers they have.
#pragma once

#include <array>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/autograd/tape.hpp"

namespace veneer {

template <class Owner, class Member>
struct Field {
  using Pointer = Member Owner::*;  // named, since g++ warns about nvcc's translation of the plain declaration
  const char* name;
  Pointer member;
};

/// Returns one entry of `fields`.
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

/// A container of at most one of several types: `visit_content(f)` calls f with its contents, and the tuple
/// `held_types` lists the possible types.
template <class X>
concept SlotLike = requires { typename std::remove_cvref_t<X>::held_types; };

/// Returns whether the model does not have this layer.
template <class M>
bool absent(const M& member) {
  if constexpr (requires { member.absent; }) return member.absent;
  return false;
}

/// The types of the direct parts of M.
template <class M>
struct DirectParts {
  using type = std::tuple<>;
};
template <class Fields>
struct MembersOf;
template <class... Owner, class... Member>
struct MembersOf<const std::tuple<Field<Owner, Member>...>> {
  using type = std::tuple<Member...>;
};
template <Module M>
struct DirectParts<M> {
  using type = typename MembersOf<decltype(M::fields)>::type;
};
template <SlotLike M>
struct DirectParts<M> {
  using type = typename M::held_types;
};

/// A set of types, and its union with M and all parts of M.
template <class... P>
struct PartTypes {};
template <class Set, class M>
struct WithParts;
template <class Set, class Tuple>
struct WithAll;
template <class Set>
struct WithAll<Set, std::tuple<>> {
  using type = Set;
};
template <class Set, class M, class... Rest>
struct WithAll<Set, std::tuple<M, Rest...>> {
  using type = typename WithAll<typename WithParts<Set, M>::type, std::tuple<Rest...>>::type;
};
template <class... P, class M>
  requires(std::is_same_v<P, M> || ...)
struct WithParts<PartTypes<P...>, M> {
  using type = PartTypes<P...>;
};
template <class... P, class M>
  requires(!(std::is_same_v<P, M> || ...))
struct WithParts<PartTypes<P...>, M> {
  using type = typename WithAll<PartTypes<P..., M>, typename DirectParts<M>::type>::type;
};
template <class... P, class X>
struct WithParts<PartTypes<P...>, std::vector<X>> : WithParts<PartTypes<P...>, X> {};

/// Identifies a type of part by its address.
template <class M>
inline char part_key = 0;

/// A type-erased function f(name, part). The traversal of a model is compiled once for all functions, and f once per
/// type of part that it accepts.
class PartVisitor {
 public:
  struct Row {
    const void* key = nullptr;
    void (*call)(const void* f, const std::string& name, const void* part) = nullptr;
  };

  template <class F, std::size_t N>
  PartVisitor(const F& f, const std::array<Row, N>& rows) : f_(&f), rows_(rows.data()), count_(N) {}

  void operator()(const void* key, const std::string& name, const void* part) const {
    for (std::size_t i = 0; i < count_; ++i) {
      if (rows_[i].key == key) return rows_[i].call(f_, name, part);
    }
  }

 private:
  const void* f_;
  const Row* rows_;
  std::size_t count_;
};

template <class F, class M>
void call_with_part(const void* f, const std::string& name, const void* part) {
  (*static_cast<const F*>(f))(name, *static_cast<M*>(const_cast<void*>(part)));
}

/// \tparam Constant  whether the model is const
template <bool Constant, class F, class M>
constexpr PartVisitor::Row part_row() {
  using Part = std::conditional_t<Constant, const M, M>;
  if constexpr (requires(const F& f, const std::string& name, Part& part) { f(name, part); }) {
    return {&part_key<M>, &call_with_part<F, Part>};
  } else {
    return {};
  }
}
template <bool Constant, class F, class... P>
constexpr std::array<PartVisitor::Row, sizeof...(P)> part_rows(PartTypes<P...>) {
  return {part_row<Constant, F, P>()...};
}

template <class M>
void walk(const std::string& name, M& member, const PartVisitor& f);

template <class M, std::size_t... I>
void walk_fields(const std::string& name, M& root, const PartVisitor& f, std::index_sequence<I...>) {
  (walk(join(name, std::get<I>(std::remove_const_t<M>::fields).name),
        root.*(std::get<I>(std::remove_const_t<M>::fields).member), f),
   ...);
}

template <class M>
void walk(const std::string& name, M& member, const PartVisitor& f) {
  if constexpr (is_specialization_of<std::vector, std::remove_const_t<M>>) {
    for (std::size_t i = 0; i < member.size(); ++i) walk(join(name, std::to_string(i)), member[i], f);
  } else if (!absent(member)) {
    f(&part_key<std::remove_const_t<M>>, name, &member);
    if constexpr (Module<M>) {
      using Fields = std::remove_cvref_t<decltype(std::remove_const_t<M>::fields)>;
      walk_fields(name, member, f, std::make_index_sequence<std::tuple_size_v<Fields>>{});
    } else if constexpr (SlotLike<M>) {
      member.visit_content([&](auto& held) { walk(name, held, f); });
    } else {
      static_assert(
          !requires { member.visit_content([](auto&) {}); },
          "veneer::visit(model): a slot with `look` lacks `held_types`, the tuple of what it may hold");
    }
  }
}

}  // namespace detail

/// Calls f(name, part) for the module itself, for every module inside it, and for every leaf, owners first. Parts of
/// types that f does not accept are skipped.
template <class M, class F>
void visit(M& root, const F& f, const std::string& prefix = "") {
  using Model = std::remove_const_t<M>;
  static_assert(Module<M> || is_specialization_of<std::vector, Model> || detail::SlotLike<M> || ValueLike<M>,
                "veneer::visit(model): the model is a struct without `fields`, so nothing in it would be found");
  using Parts = typename detail::WithParts<detail::PartTypes<>, Model>::type;
  static constexpr auto rows = detail::part_rows<std::is_const_v<M>, F>(Parts{});
  detail::walk(prefix, root, detail::PartVisitor(f, rows));
}

/// Calls f(name, parameter) for every Parameter that has a value.
template <class M, class F>
void visit_parameters(M& root, const F& f) {
  visit(root, [&](const std::string& name, ParameterLike auto& parameter) {
    if (parameter) f(name, parameter);
  });
}

/// Returns the number of trainable values.
template <class M>
index_t trainable_count(M& root) {
  index_t count = 0;
  visit_parameters(root, [&](const std::string&, auto& parameter) { count += parameter.count(); });
  return count;
}

/// Clears all gradients.
template <class M>
void clear_gradients(M& root) {
  visit_parameters(root, [](const std::string&, auto& parameter) { parameter.clear_gradient(); });
}

}  // namespace veneer
