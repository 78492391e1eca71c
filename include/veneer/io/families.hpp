// SPDX-License-Identifier: Apache-2.0
/// \file families.hpp
/// The list of supported families of dense decoders. To add one, add a file to io/families and an entry below, as
/// described in docs/families.md.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "veneer/io/families/gemma3.hpp"
#include "veneer/io/families/granite.hpp"
#include "veneer/io/families/llama.hpp"
#include "veneer/io/families/mistral.hpp"
#include "veneer/io/families/olmo2.hpp"
#include "veneer/io/families/phi3.hpp"
#include "veneer/io/families/qwen2.hpp"
#include "veneer/io/families/qwen3.hpp"
#include "veneer/io/families/smollm3.hpp"
#include "veneer/peft/config.hpp"

namespace veneer {

inline const std::array<const ModelFamily*, 9> model_families{&llama_family,  &mistral_family, &qwen2_family,
                                                              &qwen3_family,  &smollm3_family, &phi3_family,
                                                              &gemma3_family, &granite_family, &olmo2_family};

namespace detail {

/// Returns the names of all families, such as "llama, mistral and qwen2".
inline std::string supported_families() {
  std::string text;
  for (std::size_t i = 0; i < model_families.size(); ++i) {
    text += i == 0 ? "" : i + 1 == model_families.size() ? " and " : ", ";
    text += model_families[i]->model_type;
  }
  return text;
}

/// Returns the family of a `config.json`: by `model_type`, else by the first of `architectures`; both must agree.
inline const ModelFamily& model_family(const Json& raw, const std::string& where) {
  const auto architectures =
      json_find<std::vector<std::string>>(raw, "architectures", where).value_or(std::vector<std::string>());
  const std::string type = find_text(raw, "model_type", where).value_or("");
  for (const ModelFamily* family : model_families) {
    if (!type.empty() && type != family->model_type) continue;
    if (type.empty() && (architectures.empty() || architectures.front() != family->architecture)) continue;
    if (!architectures.empty() && architectures.front() != family->architecture) {
      throw FormatError(where + ": \"architectures\": found " + printable(architectures.front()) + ", of " +
                        std::string(family->model_type) + " models only " + std::string(family->architecture) +
                        " is supported");
    }
    return *family;
  }
  throw FormatError(where + ": " +
                    (type.empty() ? "\"model_type\" is missing"
                                  : "\"model_type\" is \"" + printable(type) + "\", another architecture") +
                    ": " + supported_families() + " are supported");
}

}  // namespace detail

/// Returns the modules that PEFT adapts if `target_modules` is not set. Throws `ArgumentError` for a model type
/// without a default.
inline ModuleChoice default_target_modules(std::string_view model_type, const AdapterMethod& method = {}) {
  for (const ModelFamily* family : model_families) {
    if (model_type != family->model_type) continue;
    const DefaultTargets& targets = family->targets;
    const ModuleChoice& choice = std::holds_alternative<Ia3>(method)       ? targets.ia3
                                 : std::holds_alternative<AdaLora>(method) ? targets.adalora
                                                                           : targets.lora;
    if (choice.kind != ModuleChoice::Kind::none) return choice;
  }
  throw ArgumentError("target_modules: no default for the model type \"" + std::string(model_type) +
                      "\": name the modules, or all-linear");
}

}  // namespace veneer
