// SPDX-License-Identifier: Apache-2.0
/// \file fill_slot.hpp
/// make_adapter(site, config, module, ...): the adapter of one module, of the method that the configuration names. What
/// attach does module by module.
#pragma once

#include <algorithm>
#include <any>
#include <cstdint>
#include <memory>
#include <string>

#include "veneer/peft/config.hpp"
#include "veneer/peft/init/start.hpp"
#include "veneer/peft/plan.hpp"
#include "veneer/peft/sites.hpp"

namespace veneer {

struct AttachOptions {
  std::uint64_t seed = 0;
  bool strict = true;      // an entry that matches no module is an error; else a warning
  bool initialise = true;  // false: factors are left without values, for a reader to fill
  bool keep_base = false;  // hold on to weights that PiSSA, OLoRA, LoftQ change: detach then gives every bit back
  const FirstDirections* directions = nullptr;  // of EVA
  bool change_base = false;  // change the base as the initialisation does, with initialise = false too

  StartOptions start() const { return {initialise, initialise || change_base, keep_base, directions}; }
};

namespace detail {

inline std::uint64_t name_hash(const std::string& name) {  // FNV-1a
  std::uint64_t hash = 14695981039346656037ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

/// The adapter that a method makes for a site, as the type that its slot takes.
template <class Method, Real T, Backend B, class Request>
std::any method_adapter(const Method& method, const Site<T, B>& site, const Request& request) {
  if (site.kind != ModuleKind::embedding) return method.make_linear(request, site.weight());
  if constexpr (AdaptsEmbeddings<Method, B, T>) return method.make_embedding(request, site.weight());
  throw ArgumentError("veneer::attach: " + site.name + ": " + Method::name +
                      " does not adapt embeddings: leave it out of target_modules");
}

/// Makes the adapter of one module.
/// \param common  what the modules of this adapter share; empty before the first
/// \throws ArgumentError when the slot does not take it
template <Real T, Backend B>
std::any make_adapter(Site<T, B>& site, const AdapterConfig& config, const AdaptedModule& module,
                      const AttachOptions& options, std::shared_ptr<void>& common, const AdapterPlan& plan = {}) {
  index_t out = module.out, in = module.in;
  for (const AdaptedModule& other : plan.modules) out = std::max(out, other.out), in = std::max(in, other.in);
  AdapterSite<T, B, AdapterConfig> request{
      config, module, out, in, {options.seed, name_hash(module.name)}, options.initialise, common, site.device()};
  FirstFactors<T, B> first;
  if (site.kind != ModuleKind::embedding && starts_apart(config, options.start())) {
    auto weight = site.weight();
    first = start_from(weight, config, module, request.source, options.start());
    site.set_weight(weight);
    request.made = &first;
  }
  return with_method(config, [&](const auto& method) {
    std::any adapter = method_adapter(method, site, request);
    expects(site.takes(adapter), "veneer::attach: " + site.name + ": " + method.name +
                                     " has an adapter that the slot of this layer does not take: list it in its "
                                     "AdapterSlot, or EmbeddingAdapterSlot");
    return adapter;
  });
}

}  // namespace detail

}  // namespace veneer
