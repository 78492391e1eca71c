// SPDX-License-Identifier: Apache-2.0
/// \file fill_slot.hpp
/// make_adapter(site, config, module, ...): creates the adapter of one module, with the method of the configuration.
/// attach calls it for each module.
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
  bool strict = true;      // an entry without a matching module is an error; otherwise a warning
  bool initialise = true;  // false: factors have no values, for a reader to fill
  bool keep_base = false;  // keep weights that PiSSA, OLoRA, LoftQ change, so that detach restores them to the bit
  const FirstDirections* directions = nullptr;  // for EVA
  bool change_base = false;                     // change the base like the initialisation, also with initialise = false

  StartOptions start() const { return {initialise, initialise || change_base, keep_base, directions}; }
};

namespace detail {

inline std::uint64_t name_hash(const std::string& name) {  // FNV-1a
  std::uint64_t hash = 14695981039346656037ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

/// Returns the adapter of a method for a site, in the type of its slot.
template <class Method, Real T, Backend B, class Request>
std::any method_adapter(const Method& method, const Site<T, B>& site, const Request& request) {
  if (site.kind != ModuleKind::embedding) return method.make_linear(request, site.weight());
  if constexpr (AdaptsEmbeddings<Method, B, T>) return method.make_embedding(request, site.weight());
  throw ArgumentError("veneer::attach: " + site.name + ": " + Method::name +
                      " does not adapt embeddings: leave it out of target_modules");
}

/// Creates the adapter of one module.
/// \param common  data shared by the modules of this adapter; empty before the first
/// \throws ArgumentError when the slot does not accept it
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
