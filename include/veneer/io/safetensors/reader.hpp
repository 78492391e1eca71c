// SPDX-License-Identifier: Apache-2.0
/// \file reader.hpp
/// SafetensorsFile: a safetensors file, mapped and checked completely when it is opened, without copies of tensors.
///
/// Format and rules: veneer/io/safetensors/header.hpp. Opening allocates at most a small multiple of the header.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/io/file/read.hpp"
#include "veneer/io/json_events.hpp"
#include "veneer/io/safetensors/error.hpp"
#include "veneer/io/safetensors/header.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// The tensors of one file. Copies share the mapping, which exists as long as one of them or a `keep_alive()`.
class SafetensorsFile {
 public:
  /// Maps and checks a file. Throws `SafetensorsFormatError`, `IoError` if it cannot be read, `FormatError` if it is a
  /// git-lfs pointer or a web page.
  explicit SafetensorsFile(const std::filesystem::path& path) : where_(path.string()) {
    auto mapped = std::make_shared<const MappedFile>(path);
    refuse_substitute(mapped->text(), where_);
    read(mapped->bytes());
    mapping_ = std::move(mapped);
  }

  /// Checks a file in memory, which must outlive the result. `where` names it in messages.
  static SafetensorsFile parse(std::span<const std::byte> bytes, const std::string& where) {
    SafetensorsFile file;
    file.where_ = where;
    file.read(bytes);
    return file;
  }

  /// Returns the file's name in messages: its path.
  const std::string& where() const { return where_; }

  std::size_t size() const { return tensors_.size(); }

  /// Returns the names of the tensors in the order of the header.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    names.reserve(tensors_.size());
    for (const detail::HeaderTensor& tensor : tensors_) names.push_back(tensor.entry.name);
    return names;
  }

  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// Returns the tensor with this name, or null.
  const TensorEntry* find(std::string_view name) const {
    const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                     [&](std::uint32_t i, std::string_view wanted) { return name_of(i) < wanted; });
    return at == by_name_.end() || name_of(*at) != name ? nullptr : &tensors_[*at].entry;
  }

  /// Returns the tensor with this name. Throws `SafetensorsFormatError` (`tensor_not_found`).
  const TensorEntry& at(std::string_view name) const {
    if (const TensorEntry* entry = find(name)) return *entry;
    std::string message = where_ + ": no tensor \"" + printable(name) + "\" among the " + std::to_string(size());
    if (!tensors_.empty()) message += ", the first of which is \"" + printable(tensors_.front().entry.name) + '"';
    throw SafetensorsFormatError(SafetensorsError::tensor_not_found, message);
  }

  const SafetensorsMetadata& metadata() const { return metadata_; }

  /// Returns warnings: unknown keys of tensors (the first 20).
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// Returns the memory of a tensor's pages to the system, after its values have been copied.
  void forget(const TensorEntry& entry) const {
    if (mapping_) mapping_->forget(entry.data, entry.bytes);
  }

  /// Returns an owner of the mapping, for pointers into it; null for a file in memory.
  std::shared_ptr<const void> keep_alive() const { return mapping_; }

 private:
  SafetensorsFile() = default;

  void read(std::span<const std::byte> file) {
    const auto [text, data] = detail::split_header(file, where_);
    const std::string at = where_ + ": header";
    detail::HeaderSink sink(where_);
    detail::JsonSource source{text, at};
    try {
      read_json_events(source, {.bytes = detail::largest_header, .depth = 3}, sink);
    } catch (const JsonError& error) {
      throw SafetensorsFormatError(detail::header_code(error.rule), error.what());
    }
    tensors_ = std::move(sink.tensors);
    metadata_ = std::move(sink.metadata);
    warnings_ = std::move(sink.warnings);
    index_names();
    detail::place_tensors(tensors_, data, where_);
  }

  /// Sorts the names for `find`, and refuses duplicates. Sorting, unlike hashing, cannot be slowed down by
  /// a hostile file.
  void index_names() {
    by_name_.resize(tensors_.size());
    std::iota(by_name_.begin(), by_name_.end(), std::uint32_t{0});
    std::sort(by_name_.begin(), by_name_.end(),
              [&](std::uint32_t a, std::uint32_t b) { return name_of(a) < name_of(b); });
    const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(),
                                          [&](std::uint32_t a, std::uint32_t b) { return name_of(a) == name_of(b); });
    if (twice != by_name_.end())
      detail::fail_tensor(SafetensorsError::duplicate_name, where_, name_of(*twice), "given twice");
  }

  std::string_view name_of(std::uint32_t index) const { return tensors_[index].entry.name; }

  std::string where_;
  std::shared_ptr<const MappedFile> mapping_;
  std::deque<detail::HeaderTensor> tensors_;
  std::vector<std::uint32_t> by_name_;
  SafetensorsMetadata metadata_;
  std::vector<std::string> warnings_;
};

}  // namespace veneer
