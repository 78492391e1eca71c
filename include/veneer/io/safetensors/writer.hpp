// SPDX-License-Identifier: Apache-2.0
/// \file writer.hpp
/// write_safetensors: writes safetensors files, byte for byte as the reference
/// writer (huggingface/safetensors, safetensors/src/tensor.rs).
///
/// Tensors are sorted by dtype, widest first, then by name, so that each is aligned to its type; the header is JSON
/// without blanks, `__metadata__` first, padded with blanks to a multiple of 8. The reference writes several metadata
/// entries in random order; here they are sorted. The data is written from the caller's memory, without a copy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/checked.hpp"
#include "veneer/core/error.hpp"
#include "veneer/io/file/atomic_file.hpp"
#include "veneer/io/json_dump.hpp"
#include "veneer/io/safetensors/dtype.hpp"
#include "veneer/io/safetensors/error.hpp"
#include "veneer/io/safetensors/header.hpp"

namespace veneer {

/// A tensor to write: contiguous, row-major, little-endian. `data` may be null when the shape has an extent of 0.
struct TensorView {
  std::string name{};
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape{};
  const void* data = nullptr;
};

namespace detail {

/// The layout of a file: the first 8 + N bytes, and the tensors in the order of their data.
struct SafetensorsPlan {
  std::string head;
  std::vector<const TensorView*> tensors;
  std::vector<std::size_t> bytes;  // of each tensor, in that order
  std::uint64_t total = 0;         // of the file
};

/// Throws for a tensor that the reader of this library would refuse.
inline void check_view(const TensorView& tensor, const std::string& where) {
  if (tensor.name.empty() || tensor.name == "__metadata__" || tensor.name.size() > longest_name ||
      tensor.name.find('\0') != std::string::npos || find_invalid_utf8(tensor.name)) {
    fail_tensor(SafetensorsError::invalid_name, where, tensor.name,
                "a name must be UTF-8 of 1 to 1024 bytes, without NUL, and not __metadata__");
  }
  if (tensor.shape.size() > most_dimensions)
    fail_tensor(SafetensorsError::too_many_dimensions, where, tensor.name, "more than 8 dimensions");
  for (const std::int64_t extent : tensor.shape) {
    if (extent < 0)
      fail_tensor(SafetensorsError::invalid_number, where, tensor.name, "an extent of " + std::to_string(extent));
  }
}

inline void append_entry(std::string& json, const TensorView& tensor, std::uint64_t begin, std::uint64_t end) {
  append_json_string(json, tensor.name, false);
  json += ":{\"dtype\":\"";
  json += dtype_name(tensor.dtype);
  json += "\",\"shape\":[";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) json += (i == 0 ? "" : ",") + std::to_string(tensor.shape[i]);
  json += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

inline void append_metadata(std::string& json, const SafetensorsMetadata& metadata) {
  json += "\"__metadata__\":{";
  for (const auto& entry : metadata) {
    if (json.back() != '{') json += ',';
    append_json_string(json, entry.first, false);
    json += ':';
    append_json_string(json, entry.second, false);
  }
  json += '}';
}

/// Sorts and describes `tensors` and computes their sizes. Throws `SafetensorsFormatError` for an invalid tensor.
inline SafetensorsPlan plan_safetensors(std::span<const TensorView> tensors, const SafetensorsMetadata& metadata,
                                        const std::string& where) {
  SafetensorsPlan plan;
  if (tensors.size() > most_tensors || metadata.size() > most_metadata) {
    throw SafetensorsFormatError(SafetensorsError::too_many_tensors,
                                 where + ": more than 1048576 tensors or 65536 metadata entries");
  }
  for (const TensorView& tensor : tensors) plan.tensors.push_back(&tensor);
  std::sort(plan.tensors.begin(), plan.tensors.end(), [](const TensorView* a, const TensorView* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  std::vector<std::string_view> names;
  for (const TensorView& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end()) {
    fail_tensor(SafetensorsError::duplicate_name, where, *twice, "given twice");
  }

  std::string json = "{";
  if (!metadata.empty()) append_metadata(json, metadata);
  Checked<std::uint64_t> end = 0;
  for (const TensorView* tensor : plan.tensors) {
    check_view(*tensor, where);
    const std::uint64_t bytes = tensor_bytes(tensor->dtype, tensor->shape, where, tensor->name);
    expects(bytes == 0 || tensor->data != nullptr, "veneer::write_safetensors(path, tensors): a tensor without data");
    const std::uint64_t begin = end.value();
    end += bytes;
    if (json.size() > 1) json += ',';
    append_entry(json, *tensor, begin, end.value("the size of the file"));
    plan.bytes.push_back(checked_cast<std::size_t>(bytes));
  }
  json += '}';
  json.resize(Checked<std::size_t>(json.size()).align_up(8).value(), ' ');
  if (json.size() > largest_header) {
    throw SafetensorsFormatError(SafetensorsError::header_too_large,
                                 where + ": a header of more than 100000000 bytes: write several files");
  }
  for (std::size_t i = 0; i < 8; ++i) plan.head += static_cast<char>(std::uint64_t{json.size()} >> (8 * i) & 0xFF);
  plan.head += json;
  plan.total = (end + plan.head.size()).value("the size of the file");
  return plan;
}

}  // namespace detail

/// Returns the size of a file with these tensors, without writing it. Throws `SafetensorsFormatError` for
/// an invalid tensor.
inline std::uint64_t safetensors_size(std::span<const TensorView> tensors, const SafetensorsMetadata& metadata = {}) {
  std::vector<TensorView> sized(tensors.begin(), tensors.end());
  for (TensorView& tensor : sized) tensor.data = &tensor;  // only the shape is used here
  return detail::plan_safetensors(sized, metadata, "veneer::safetensors_size").total;
}

/// Writes a file atomically (veneer/io/file/atomic_file.hpp). Throws `SafetensorsFormatError` for invalid tensors (a
/// duplicate name, more than 8 dimensions, ...), and as `AtomicFile` does.
inline void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const SafetensorsMetadata& metadata = {}) {
  const detail::SafetensorsPlan plan = detail::plan_safetensors(tensors, metadata, path.string());
  AtomicFile file(path, plan.total);
  file.write(plan.head);
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) file.write(plan.tensors[i]->data, plan.bytes[i]);
  file.commit();
}

}  // namespace veneer
