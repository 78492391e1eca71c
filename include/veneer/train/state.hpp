// SPDX-License-Identifier: Apache-2.0
/// \file state.hpp
/// Training states on disk: the data that a run needs to continue with the same bits as an uninterrupted one.
///
///   trainer_state.json           the step, and the settings of the run as its program wrote them
///   trainer_state.safetensors    AdamW's moments, F32: <parameter>.first, <parameter>.second; with AdaLoRA
///                                <module>.triplets, .sensitivity, .uncertainty, which are not in the adapter's file
/// The files are next to the adapter (or the trained weights) in a folder checkpoint-N. Order of data, dropout and
/// schedule are functions of seed and step, so they need no saved state. A folder is complete or absent: it is built
/// under a temporary name next to its final one and renamed.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/optim/adamw.hpp"

namespace veneer {

/// The largest accepted size of a trainer_state.json, in bytes.
inline constexpr std::size_t trainer_state_limit = std::size_t{1} << 26;

struct TrainingState {
  index_t step = 0;
  Json settings;
  std::vector<Moments> moments;
  std::vector<TripletState> triplets;  // of AdaLoRA
};

/// Writes the two files into an existing folder, usually one that is being built.
inline void write_training_state(const std::filesystem::path& folder, const AdamW& optimizer, const Json& settings) {
  const std::vector<Moments> all = optimizer.moments();
  std::vector<TensorView> views;
  Json order = Json::array();
  for (const Moments& moments : all) {
    const std::vector<std::int64_t> shape{static_cast<std::int64_t>(moments.first.size())};
    views.push_back({moments.name + ".first", Dtype::f32, shape, moments.first.data()});
    views.push_back({moments.name + ".second", Dtype::f32, shape, moments.second.data()});
    order.push_back(moments.name);
  }
  Json state = {{"step", optimizer.steps()}, {"settings", settings}, {"parameters", order}};
  const std::vector<TripletState> triplets = optimizer.allocator().states();
  for (const TripletState& each : triplets) {
    const auto add = [&](const char* what, const std::vector<float>& values) {
      views.push_back({each.module + what, Dtype::f32, {static_cast<std::int64_t>(values.size())}, values.data()});
    };
    add(".triplets", each.values), add(".sensitivity", each.sensitivity), add(".uncertainty", each.uncertainty);
    state["kept"][each.module] = each.kept;
  }
  write_safetensors(folder / "trainer_state.safetensors", views);
  write_atomically(folder / "trainer_state.json", state.dump(2) + "\n");
}

/// Returns the step in a `trainer_state.json` of the Trainer of Hugging Face's transformers, which uses the same file
/// name; nullopt for other texts. It searches the text, because that file is not always JSON (`"loss": NaN`).
inline std::optional<std::int64_t> transformers_step(std::string_view text) {
  constexpr std::string_view key = "\"global_step\"";
  const std::size_t at = text.find(key);
  const bool written_there = text.find("\"log_history\"") != text.npos && text.find("\"settings\"") == text.npos;
  if (at == text.npos || !written_there) return std::nullopt;
  const std::size_t digits = text.find_first_not_of(" \t\r\n:", at + key.size());
  if (digits == text.npos) return std::nullopt;
  std::int64_t step = 0;
  const auto read = std::from_chars(text.data() + digits, text.data() + text.size(), step);
  return read.ec == std::errc() ? std::optional(step) : std::nullopt;
}

/// Reads the two files.
/// \throws FormatError, IoError when the folder has no complete state, or one written by another program
inline TrainingState read_training_state(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "trainer_state.json";
  if (!std::filesystem::exists(path)) {
    throw IoError(folder.string() +
                  ": holds no trainer_state.json; expected a folder checkpoint-N of a run, or the run's folder");
  }
  const std::string text = read_text(path, trainer_state_limit);
  if (transformers_step(text)) {
    const bool adapter = std::filesystem::exists(folder / "adapter_config.json");
    throw FormatError(path.string() +
                      ": written by the Trainer of Hugging Face's transformers, which keeps the rest of its state in "
                      "pickles; they are never opened here. Resume this run there, or start a new one from its weights "
                      "with " +
                      (adapter ? "--adapter " : "--model ") + folder.string());
  }
  const Json json = parse_json(text, path.string(), {.bytes = trainer_state_limit});
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer() || !json.contains("settings") ||
      !json.contains("parameters") || !json["parameters"].is_array()) {
    throw FormatError(path.string() + ": expected an object with step, settings and parameters");
  }
  TrainingState state{json["step"].get<index_t>(), json["settings"], {}, {}};
  const SafetensorsFile file(folder / "trainer_state.safetensors");
  const auto read = [&](const std::string& key) {
    const TensorEntry& entry = file.at(key);
    std::vector<float> values(static_cast<std::size_t>(element_count(entry)));
    read_floats(entry, values.data());
    return values;
  };
  for (const Json& name : json["parameters"]) {
    if (!name.is_string()) throw FormatError(path.string() + ": parameters: expected names");
    Moments moments{name.get<std::string>(), {}, {}};
    moments.first = read(moments.name + ".first");
    moments.second = read(moments.name + ".second");
    state.moments.push_back(std::move(moments));
  }
  if (const Json* kept = find_json(json, "kept")) {
    expects<FormatError>(kept->is_object(), path.string() + ": kept: expected an object");
    for (const auto& entry : kept->get_ref<const Json::object_t&>()) {
      state.triplets.push_back({entry.first, json_as<std::vector<bool>>(entry.second, path.string() + ": kept"),
                                read(entry.first + ".triplets"), read(entry.first + ".sensitivity"),
                                read(entry.first + ".uncertainty")});
    }
  }
  return state;
}

/// Returns the complete folder checkpoint-N with the largest N in a run's folder, or the folder itself if it is one.
inline std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  if (fs::exists(folder / "trainer_state.json")) return folder;
  std::map<long long, fs::path> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const std::string digits = name.starts_with("checkpoint-") ? name.substr(11) : "";
    if (digits.empty() || digits.size() > 12 || digits.find_first_not_of("0123456789") != std::string::npos) continue;
    if (fs::exists(entry.path() / "trainer_state.json")) found[std::stoll(digits)] = entry.path();
  }
  return found.empty() ? std::nullopt : std::optional(found.rbegin()->second);
}

}  // namespace veneer
