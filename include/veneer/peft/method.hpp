// SPDX-License-Identifier: Apache-2.0
/// \file method.hpp
/// What a method of adapting is to attach and to the files of PEFT: a plain struct of settings, in the adapter's file.
///
///   peft_type, name     what adapter_config.json and people call it
///   shares              keys of LoRA's settings that its file has too, or all of them
///   settings            its own keys, each with the flag that sets it in programs, and its help
///   linear<B, T>        the adapter of a linear module. Its `fields` name what is in the file: Parameters, which
///                       train, and Tensors, which are frozen
///   make_linear(site, w)  makes one, of site.parameter(...) and site.frozen(...)
/// and where there is something to say
///   describe(m, match)  fills in rank, alpha and scaling of a module
///   check(config)       refuses settings that do not go together
///   embedding<B, T>, make_embedding(site, table): the adapter of an embedding
///   fit(steps)          fits a schedule to the steps of a run
///   dropout()           the probability that values of the adapter's input are dropped
///   bias_only           what `bias` says for the biases of adapted modules, where that is not "<name>_only"
///   starts_from_weights true where first values are computed from the weight
///   in_file_of          the method whose file it is in, as DoRA's is LoRA's
/// Everything else follows: slots, counts, plans, keys of tensors (the adapter's `fields`), reading and writing.
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
  const char* name;
  Member Owner::*member;
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

/// One place where an adapter is to be made.
template <Real T, Backend B, class Config>
struct AdapterSite {
  const Config& config;
  const AdaptedModule& module;
  index_t largest_out, largest_in;  // of all modules of the adapter
  RandomStream source;              // of first values, named by seed and module
  bool values;                      // false: shapes alone, for a reader to fill and for counting
  std::shared_ptr<void>& common;    // what the modules of one adapter share, if they do
  B device;
  const FirstFactors<T, B>* made = nullptr;  // values of A and B that were made before; null: draw them

  /// A parameter of the values that `first()` gives, or of none.
  template <ShapeLike S, class F>
  Parameter<T, S, B> parameter(S of, const F& first) const {
    return Parameter<T, S, B>(values ? Tensor<T, S, B>(first()) : Tensor<T, S, B>(of, device, nullptr));
  }
  /// One that starts at `value`, or, where that is not wanted, at standard normal values.
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
  /// A frozen tensor of the values that `first()` gives, random ones say. Without values it is for a reader to fill: a
  /// frozen tensor that an adapter computes with must be among its fields, or it is lost when the adapter is saved.
  template <ShapeLike S, class F>
  Tensor<T, S, B> frozen(S of, const F& first) const {
    return parameter(of, first).value();
  }
  /// What the modules of one adapter share, made for the first of them.
  template <class Shared, class... Arguments>
  std::shared_ptr<Shared> shared(const Arguments&... arguments) const {
    if (!common) common = std::make_shared<Shared>(arguments...);
    return std::static_pointer_cast<Shared>(common);
  }
};

namespace detail {

/// Fills in what a method says of a module.
template <class Method>
void describe_module(const Method& method, AdaptedModule& module, const auto& matcher) {
  if constexpr (requires { method.describe(module, matcher); }) method.describe(module, matcher);
}

}  // namespace detail

/// A method whose first values are computed from the weights.
template <class Method>
concept StartsFromWeights = requires { Method::starts_from_weights; };

/// A method that shares all keys of LoRA's file.
inline constexpr std::array<std::string_view, 1> all_of_lora{"*"};

}  // namespace veneer
