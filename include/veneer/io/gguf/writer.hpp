// SPDX-License-Identifier: Apache-2.0
/// \file writer.hpp
/// write_gguf(path, keys, tensors): writes a GGUF file of version 3 atomically.
///
///   "GGUF"  u32 3  u64 tensors  u64 keys | keys | names, extents, types, offsets | zeros to 32 | data
/// Each tensor begins at a multiple of 32, in the order of the descriptions and without holes: llama.cpp accepts no
/// other offsets. Each tensor produces its bytes when it is written, so that one tensor is in memory at a time.
/// Source: ggml-org/ggml, docs/gguf.md.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "veneer/core/specialization.hpp"
#include "veneer/io/file/atomic_file.hpp"
#include "veneer/io/gguf/types.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// A function that receives the next bytes of a tensor.
using GgufSink = std::function<void(std::string_view)>;

/// A tensor to write.
struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::f32;
  std::vector<std::int64_t> shape;               // row-major, one to four extents
  std::function<void(const GgufSink&)> write{};  // produces all bytes, in order
};

namespace detail {

template <class T>
void append_number(std::string& out, T number) {
  static_assert(std::is_arithmetic_v<T>);
  if constexpr (std::is_same_v<T, float>) {
    append_number(out, std::bit_cast<std::uint32_t>(number));
  } else if constexpr (std::is_same_v<T, double>) {
    append_number(out, std::bit_cast<std::uint64_t>(number));
  } else {
    const auto bits = static_cast<std::uint64_t>(number);
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>(bits >> (8 * i) & 0xFF);
  }
}

inline void append_gguf_string(std::string& out, std::string_view text) {
  append_number(out, std::uint64_t{text.size()});
  out += text;
}

template <class T>
void append_gguf_item(std::string& out, const T& item) {
  if constexpr (std::is_same_v<T, std::string>) {
    append_gguf_string(out, item);
  } else {
    append_number(out, item);
  }
}

inline void append_gguf_key(std::string& out, const GgufKey& key) {
  append_gguf_string(out, key.name);
  const std::uint32_t type = gguf_type_number(key.value.index() % gguf_scalars);
  const bool list = key.value.index() >= gguf_scalars;
  append_number(out, list ? gguf_array : type);
  if (list) append_number(out, type);
  std::visit(
      [&](const auto& value) {
        using V = std::remove_cvref_t<decltype(value)>;
        if constexpr (is_specialization_of<std::vector, V>) {
          append_number(out, std::uint64_t{value.size()});
          for (std::size_t i = 0; i < value.size(); ++i)
            append_gguf_item(out, static_cast<typename V::value_type>(value[i]));
        } else {
          append_gguf_item(out, value);
        }
      },
      key.value);
}

[[noreturn]] inline void refuse_gguf(const std::string& where, const std::string& name, const std::string& problem) {
  throw ArgumentError("veneer::write_gguf: " + where + ": \"" + printable(name) + "\": " + problem);
}

/// Throws `ArgumentError` for names that llama.cpp would refuse.
inline void check_gguf_names(const std::vector<GgufKey>& keys, const std::vector<GgufTensor>& tensors,
                             const std::string& where) {
  std::set<std::string> seen;
  for (const GgufKey& key : keys) {
    if (key.name.empty() || find_invalid_utf8(key.name)) refuse_gguf(where, key.name, "a key must be UTF-8, not empty");
    if (!seen.insert(key.name).second) refuse_gguf(where, key.name, "the key is given twice");
  }
  seen.clear();
  for (const GgufTensor& tensor : tensors) {
    if (tensor.name.empty() || tensor.name.size() > gguf_longest_name)
      refuse_gguf(where, tensor.name, "the name of a tensor must have 1 to 63 bytes");
    if (!seen.insert(tensor.name).second) refuse_gguf(where, tensor.name, "the tensor is given twice");
    if (tensor.shape.empty() || tensor.shape.size() > 4)
      refuse_gguf(where, tensor.name, "expected one to four extents");
    for (const std::int64_t extent : tensor.shape)
      if (extent < 1) refuse_gguf(where, tensor.name, "an extent of " + std::to_string(extent));
  }
}

/// The bytes before the data, and the size of each tensor.
struct GgufPlan {
  std::string head;
  std::vector<std::uint64_t> bytes;
  std::uint64_t total = 0;
};

inline GgufPlan plan_gguf(const std::vector<GgufKey>& keys, const std::vector<GgufTensor>& tensors,
                          const std::string& where) {
  check_gguf_names(keys, tensors, where);
  GgufPlan plan;
  plan.head = "GGUF";
  append_number(plan.head, std::uint32_t{3});
  append_number(plan.head, std::uint64_t{tensors.size()});
  append_number(plan.head, std::uint64_t{keys.size()});
  for (const GgufKey& key : keys) append_gguf_key(plan.head, key);
  Checked<std::uint64_t> offset = 0;
  for (const GgufTensor& tensor : tensors) {
    const auto bytes = ggml_bytes(ggml_layout(tensor.type), tensor.shape);
    if (!bytes) refuse_gguf(where, tensor.name, "a row is not a multiple of the block of its type");
    append_gguf_string(plan.head, tensor.name);
    append_number(plan.head, static_cast<std::uint32_t>(tensor.shape.size()));
    for (std::size_t i = tensor.shape.size(); i-- > 0;) append_number(plan.head, tensor.shape[i]);
    append_number(plan.head, static_cast<std::uint32_t>(tensor.type));
    append_number(plan.head, offset.value("the offset of a tensor"));
    plan.bytes.push_back(bytes->value("the bytes of a tensor"));
    offset += bytes->align_up(gguf_alignment);
  }
  plan.head.resize(Checked<std::size_t>(plan.head.size()).align_up(gguf_alignment).value(), '\0');
  plan.total = (offset + plan.head.size()).value("the size of the file");
  return plan;
}

}  // namespace detail

/// Writes a file atomically.
/// \throws ArgumentError for names, extents and types that llama.cpp would refuse, before anything is written; the
/// exceptions of a tensor that produces its bytes; as `AtomicFile` does
inline void write_gguf(const std::filesystem::path& path, const std::vector<GgufKey>& keys,
                       const std::vector<GgufTensor>& tensors) {
  const detail::GgufPlan plan = detail::plan_gguf(keys, tensors, path.string());
  AtomicFile file(path, plan.total);
  file.write(plan.head);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t begin = file.size();
    tensors[i].write([&](std::string_view bytes) { file.write(bytes); });
    if (file.size() - begin != plan.bytes[i])
      detail::refuse_gguf(path.string(), tensors[i].name, "the bytes given do not fit its shape");
    const std::uint64_t rest = plan.bytes[i] % detail::gguf_alignment;
    if (rest != 0) file.write(std::string(static_cast<std::size_t>(detail::gguf_alignment - rest), '\0'));
  }
  file.commit();
}

}  // namespace veneer
