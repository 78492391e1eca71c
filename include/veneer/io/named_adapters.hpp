// SPDX-License-Identifier: Apache-2.0
/// \file named_adapters.hpp
/// load_adapter and save_adapter for NamedAdapters: PEFT folders of several adapters of one model.
///
///   NamedAdapters adapters(load_llama(folder));
///   load_adapter(adapters, "dates", "out/iso");
///   save_adapter(adapters, "dates", "out/again");     // with the element types and unknown keys of the folder read
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/peft/named_adapters.hpp"

namespace veneer {

/// Reads the adapter of a folder under a name.
/// \returns the contents of the folder
/// \throws FormatError, IoError as load_adapter for a model, ArgumentError for a name in use; the adapters
/// are then unchanged
template <class Model>
LoadedAdapter load_adapter(NamedAdapters<Model>& adapters, const std::string& name,
                           const std::filesystem::path& folder) {
  adapters.check_new(name);
  Model model = adapters.base();
  LoadedAdapter loaded = load_adapter(model, folder);
  adapters.add(name, std::move(model), loaded.file.config, loaded.plan, loaded);
  return loaded;
}

/// Writes one adapter as a PEFT folder, as save_adapter does for a model.
/// \throws ArgumentError for an unknown name, IoError
template <class Model>
void save_adapter(const NamedAdapters<Model>& adapters, const std::string& name, const std::filesystem::path& folder) {
  const auto& entry = adapters.at(name);
  Model model = entry.model;
  save_adapter(model, folder, entry.config, entry.plan, std::any_cast<LoadedAdapter>(&entry.file));
}

}  // namespace veneer
