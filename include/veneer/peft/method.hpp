// SPDX-License-Identifier: Apache-2.0
/// \file method.hpp
/// The requirements of a method: a plain struct of settings, defined in the file of its adapter, for attach
/// and PEFT's files.
///
///   peft_type, name     its names in adapter_config.json and for users
///   shares              keys of LoRA's settings that its file also has, or all of them
///   settings            its own keys, each with its flag in programs and its help
///   linear<B, T>        the adapter of a linear module. Its `fields` name the tensors in the file: Parameters, which
///                       are trained, and Tensors, which are frozen
///   make_linear(site, w)  creates one, with site.parameter(...) and site.frozen(...)
/// and optionally
///   describe(m, match)  sets rank, alpha and scaling of a module
///   check(config)       throws for inconsistent settings
///   embedding<B, T>, make_embedding(site, table): the adapter of an embedding
///   fit(steps)          adapts a schedule to the steps of a run
///   dropout()           the probability that a value of the adapter's input is dropped
///   bias_only           the value of `bias` for the biases of adapted modules, if it is not "<name>_only"
///   starts_from_weights true if the initialisation is computed from the weight
///   in_file_of          the method in whose file it is stored, as DoRA in LoRA's
/// The rest follows from these: slots, counts, plans, keys of tensors (the adapter's `fields`), reading and writing.
#pragma once

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/nn/module.hpp"
#include "veneer/peft/init/first_factors.hpp"
#include "veneer/peft/plan.hpp"

namespace veneer {

/// One setting of a method: its key in adapter_config.json and its member. `flag` sets it in programs; rank, alpha and
/// dropout are flags that methods share. Without a flag only files set it.
template <class Owner, class Member>
struct Setting {
  using Pointer = Member Owner::*;  // named, as in Field
  const char* name;
  Pointer member;
  const char* flag = nullptr;
  const char* help = nullptr;
};
template <class Owner, class Member>
constexpr Setting<Owner, Member> setting(const char* name, Member Owner::*member, const char* flag = nullptr,
                                         const char* help = nullptr) {
  return {name, member, flag, help};
}

/// A setting that is true, false or a name in files: how an adapter is initialised.
struct InitSetting {
  std::string name = "true";
  bool operator==(const InitSetting&) const = default;
};

/// A request for the adapter of one module.
template <Real T, Backend B, class Config>
struct AdapterSite {
  const Config& config;
  const AdaptedModule& module;
  index_t largest_out, largest_in;  // of all modules of the adapter
  RandomStream source;              // of the initialisation, determined by seed and module
  bool values;                      // false: only shapes, for a reader to fill and for counting
  std::shared_ptr<void>& common;    // data shared by the modules of one adapter, if any
  B device;
  const FirstFactors<T, B>* made = nullptr;  // existing values of A and B; null: draw them

  /// Returns a parameter with the values of `first()`, or without values.
  template <ShapeLike S, class F>
  Parameter<T, S, B> parameter(S of, const F& first) const {
    return Parameter<T, S, B>(values ? Tensor<T, S, B>(first()) : Tensor<T, S, B>(of, device, nullptr));
  }
  /// Returns a parameter initialised with `value`, or, if this is disabled, with standard normal values.
  template <ShapeLike S>
  Parameter<T, S, B> constant(S of, double value, bool wanted = true) const {
    return parameter(
        of, [&] { return wanted ? full<T>(of, static_cast<T>(value), device) : normal<T>(of, source, 1.0, device); });
  }
  /// Uniform values in (-1/sqrt(fan), 1/sqrt(fan)), as PyTorch initialises a linear layer.
  /// \param stream  the random numbers: those of `source`, or of another stream made from it
  template <ShapeLike S>
  Tensor<T, S, B> uniform_in(S of, index_t fan, RandomStream stream) const {
    const T bound = static_cast<T>(1.0 / std::sqrt(static_cast<double>(fan)));
    return uniform<T>(of, stream, -bound, bound, device);
  }
  /// Returns a frozen tensor with the values of `first()`, for example random ones, or without values for a reader to
  /// fill. A frozen tensor used by an adapter must be among its fields; otherwise it is lost when the adapter is saved.
  template <ShapeLike S, class F>
  Tensor<T, S, B> frozen(S of, const F& first) const {
    return parameter(of, first).value();
  }
  /// Returns the data shared by the modules of one adapter, created for the first of them.
  template <class Shared, class... Arguments>
  std::shared_ptr<Shared> shared(const Arguments&... arguments) const {
    if (!common) common = std::make_shared<Shared>(arguments...);
    return std::static_pointer_cast<Shared>(common);
  }
};

namespace detail {

/// Sets the description of a module by its method.
template <class Method>
void describe_module(const Method& method, AdaptedModule& module, const auto& matcher) {
  if constexpr (requires { method.describe(module, matcher); }) method.describe(module, matcher);
}

}  // namespace detail

/// A method whose initialisation is computed from the weights.
template <class Method>
concept StartsFromWeights = requires { Method::starts_from_weights; };

/// A method that shares all keys of LoRA's file.
inline constexpr std::array<std::string_view, 1> all_of_lora{"*"};

}  // namespace veneer
