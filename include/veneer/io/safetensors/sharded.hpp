// SPDX-License-Identifier: Apache-2.0
/// \file sharded.hpp
/// ShardedCheckpoint: the weights of a model folder, in `model.safetensors`, or in `model.safetensors.index.json`
/// and its shards.
///
///     {"metadata": {"total_size": bytes}, "weight_map": {"<tensor>": "model-00001-of-00003.safetensors", ...}}
///
/// Index and shards must agree in both directions, so that no tensor is lost silently. Source: huggingface_hub,
/// serialization/_base.py and _torch.py. Files of pickled objects (.bin, .pt, .pth) can run code and are never read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/error_list.hpp"
#include "veneer/io/file/read.hpp"
#include "veneer/io/json.hpp"
#include "veneer/io/safetensors/error.hpp"
#include "veneer/io/safetensors/header.hpp"
#include "veneer/io/safetensors/reader.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

namespace detail {

/// Returns a file of pickled weights in `folder`, if there is one.
inline std::optional<std::string> find_pickle(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string end = entry.path().extension().string();
    if (end == ".bin" || end == ".pt" || end == ".pth" || end == ".pkl" || name == "pytorch_model.bin.index.json")
      return name;
  }
  return std::nullopt;
}

}  // namespace detail

/// All tensors of a model folder, by name, across its files.
class ShardedCheckpoint {
 public:
  /// Opens and checks all files of a folder. Throws `FormatError` with all errors, `IoError` if nothing can be read.
  explicit ShardedCheckpoint(const std::filesystem::path& folder) : where_(folder.string()) {
    namespace fs = std::filesystem;
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
      throw IoError(where_ + ": " +
                    (fs::exists(folder, error) ? "is a file, expected the folder of a model" : "no such folder"));
    }
    const auto named = [&](const char* name) {  // true also for a broken link
      return fs::exists(fs::symlink_status(folder / name, error));
    };
    if (named("model.safetensors")) {
      files_.emplace_back(file_inside(folder, "model.safetensors", where_));
      for (const std::string& name : files_.front().names()) names_.emplace_back(name, 0);
    } else if (named("model.safetensors.index.json")) {
      open_shards(folder);
    } else {
      refuse_folder(folder);
    }
    std::sort(names_.begin(), names_.end());
    for (const SafetensorsFile& file : files_)
      warnings_.insert(warnings_.end(), file.warnings().begin(), file.warnings().end());
  }

  const std::string& where() const { return where_; }
  std::size_t size() const { return names_.size(); }

  /// Returns the names of all tensors, sorted.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    names.reserve(names_.size());
    for (const auto& entry : names_) names.push_back(entry.first);
    return names;
  }

  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// Returns the tensor with this name, or null.
  const TensorEntry* find(std::string_view name) const {
    const auto at = std::lower_bound(names_.begin(), names_.end(), name,
                                     [](const auto& entry, std::string_view wanted) { return entry.first < wanted; });
    return at == names_.end() || at->first != name ? nullptr : files_[at->second].find(name);
  }

  /// Returns the tensor with this name. Throws `SafetensorsFormatError` (`tensor_not_found`).
  const TensorEntry& at(std::string_view name) const {
    if (const TensorEntry* entry = find(name)) return *entry;
    throw SafetensorsFormatError(
        SafetensorsError::tensor_not_found,
        where_ + ": no tensor \"" + printable(name) + "\" among the " + std::to_string(size()) + " of this model");
  }

  /// Returns the memory of a tensor's pages to the system, after its values have been copied.
  void forget(const TensorEntry& entry) const {
    for (const SafetensorsFile& file : files_) file.forget(entry);  // no effect for the other files
  }

  /// Returns the files, in the order of their names.
  const std::deque<SafetensorsFile>& files() const { return files_; }

  /// Returns the warnings of all files.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  [[noreturn]] void refuse_folder(const std::filesystem::path& folder) const {
    if (const auto pickle = detail::find_pickle(folder)) {
      throw FormatError(
          where_ + ": the weights are in " + *pickle +
          ", a pickle, which can run code when it is read and is not read here. Convert the model once, with "
          "transformers: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)");
    }
    throw FormatError(where_ +
                      ": no weights: expected model.safetensors, or model.safetensors.index.json and its shards");
  }

  void open_shards(const std::filesystem::path& folder) {
    const std::filesystem::path path = file_inside(folder, "model.safetensors.index.json", where_);
    const std::string where = path.string();
    const Json index = read_json(path, {.bytes = std::size_t{64} << 20, .depth = 8});
    const Json& map = json_member(index, "weight_map", where);
    expects<FormatError>(map.is_object(), where + ": \"weight_map\": expected an object, found " + describe_json(map));

    std::map<std::string, std::vector<std::string>> shards;  // file -> its tensors in the index
    for (const auto& entry : map.get_ref<const Json::object_t&>()) {
      shards[json_as<std::string>(entry.second, where + ": weight_map: \"" + printable(entry.first) + '"')].push_back(
          entry.first);
    }
    detail::ErrorList errors;
    for (auto& shard : shards) open_shard(folder, shard.first, shard.second, where, errors);
    check_twice(errors);
    errors.throw_if_any(where);
    check_total(index, where);
  }

  void open_shard(const std::filesystem::path& folder, const std::string& name, std::vector<std::string>& expected,
                  const std::string& where, detail::ErrorList& errors) {
    try {
      files_.emplace_back(file_inside(folder, name, where));
    } catch (const MemoryError&) {
      throw;
    } catch (const Error& error) {
      return errors.add(error.what());
    }
    const SafetensorsFile& file = files_.back();
    std::sort(expected.begin(), expected.end());
    for (const std::string& tensor : expected) {
      if (!file.contains(tensor))
        errors.add(name + ": the tensor \"" + printable(tensor) + "\" of the index is missing");
    }
    for (const std::string& tensor : file.names()) {
      names_.emplace_back(tensor, files_.size() - 1);
      if (!std::binary_search(expected.begin(), expected.end(), tensor)) {
        errors.add(name + ": the tensor \"" + printable(tensor) + "\" is not in the index for this file");
      }
    }
  }

  void check_twice(detail::ErrorList& errors) {
    std::sort(names_.begin(), names_.end());
    for (std::size_t i = 1; i < names_.size(); ++i) {
      if (names_[i].first == names_[i - 1].first)
        errors.add("the tensor \"" + printable(names_[i].first) + "\" is in two files");
    }
  }

  void check_total(const Json& index, const std::string& where) {
    const Json* metadata = find_json(index, "metadata");
    const Json* total = metadata == nullptr ? nullptr : find_json(*metadata, "total_size");
    if (total == nullptr || !total->is_number_unsigned()) return;
    std::uint64_t bytes = 0;
    for (const auto& entry : names_)
      bytes += files_[entry.second].find(entry.first)->bytes;  // mapped, so the sum does not overflow
    if (total->get<std::uint64_t>() != bytes) {
      warnings_.push_back(where + ": total_size says " + total->dump() + " bytes, the tensors have " +
                          std::to_string(bytes));
    }
  }

  std::string where_;
  std::deque<SafetensorsFile> files_;
  std::vector<std::pair<std::string, std::size_t>> names_;  // sorted; tensor -> index into files_
  std::vector<std::string> warnings_;
};

}  // namespace veneer
