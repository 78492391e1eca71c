// SPDX-License-Identifier: Apache-2.0
/// \file reader.hpp
/// GgufFile: a GGUF file of version 2 or 3, mapped and checked completely when it is opened, without copies of tensors.
///
/// Refused as by llama.cpp: an empty or repeated key, a repeated tensor, a name of 64 bytes or more, more than four
/// extents, a row that is not a multiple of the block, an offset that is not the end of the previous tensor. Also
/// refused: text that is not UTF-8, nested lists, an unknown element type, data that ends outside the file. The
/// allocated memory is at most a small multiple of the header. Format: veneer/io/gguf/types.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/io/file/read.hpp"
#include "veneer/io/gguf/types.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// A tensor of a file.
struct GgufEntry {
  std::string name;
  GgmlLayout layout;
  std::vector<std::int64_t> shape;  // row-major
  std::uint64_t offset = 0;         // from the beginning of the data
  std::span<const std::byte> data;
};

namespace detail {

/// A cursor that reads numbers and texts from a file.
class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail(const std::string& problem) const {
    throw FormatError(where_ + ": byte " + std::to_string(at_) + ": " + problem);
  }

  template <class T>
  T number() {
    if (left() < sizeof(T)) fail("the file ends inside its header");
    std::uint64_t bits = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) bits = bits << 8 | static_cast<std::uint64_t>(bytes_[at_ + i]);
    at_ += sizeof(T);
    if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(bits);
    if constexpr (std::is_same_v<T, bool>) {
      if (bits > 1) fail("a flag is " + std::to_string(bits) + ", expected 0 or 1");
      return bits == 1;
    } else {
      return static_cast<T>(bits);
    }
  }

  std::string text() {
    const auto size = number<std::uint64_t>();
    if (size > left())
      fail("a text of " + std::to_string(size) + " bytes in a file that has " + std::to_string(left()));
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<std::size_t>(size));
    if (find_invalid_utf8(text)) fail("a text is not UTF-8");
    at_ += text.size();
    return text;
  }

  template <class T>
  T item() {
    if constexpr (std::is_same_v<T, std::string>) {
      return text();
    } else {
      return number<T>();
    }
  }

  GgufValue value() {
    const auto type = number<std::uint32_t>();
    return type == gguf_array ? any(number<std::uint32_t>(), true) : any(type, false);
  }

 private:
  template <std::size_t I = 0>
  GgufValue any(std::uint32_t type, bool list) {
    if constexpr (I < gguf_scalars) {
      if (type != gguf_type_number(I)) return any<I + 1>(type, list);
      using T = std::variant_alternative_t<I, GgufValue>;
      if (!list) return GgufValue(std::in_place_index<I>, item<T>());
      const auto count = number<std::uint64_t>();
      const std::size_t least = std::is_same_v<T, std::string> ? 8 : sizeof(T);  // bytes per item
      if (count > left() / least) fail("a list of " + std::to_string(count) + " values in a file that ends before");
      std::vector<T> items;
      items.reserve(static_cast<std::size_t>(count));
      for (std::uint64_t i = 0; i < count; ++i) items.push_back(item<T>());
      return GgufValue(std::in_place_index<I + gguf_scalars>, std::move(items));
    } else {
      fail(type == gguf_array ? "a list of lists" : "the value type " + std::to_string(type) + " is not known");
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace detail

/// The keys and tensors of one file. Copies share the mapping.
class GgufFile {
 public:
  /// Maps and checks a file. Throws `FormatError`, `IoError`.
  explicit GgufFile(const std::filesystem::path& path) : where_(path.string()) {
    auto mapped = std::make_shared<const MappedFile>(path);
    read(mapped->bytes());
    mapping_ = std::move(mapped);
  }

  /// Checks a file in memory, which must outlive the result. `where` names it in messages.
  static GgufFile parse(std::span<const std::byte> bytes, const std::string& where) {
    GgufFile file;
    file.where_ = where;
    file.read(bytes);
    return file;
  }

  std::uint32_t version() const { return version_; }
  std::uint64_t alignment() const { return alignment_; }
  const std::vector<GgufKey>& keys() const { return keys_; }
  const std::vector<GgufEntry>& tensors() const { return tensors_; }

  /// Returns the value of a key, or null.
  const GgufValue* find(std::string_view name) const {
    const auto found = std::find_if(keys_.begin(), keys_.end(), [&](const GgufKey& key) { return key.name == name; });
    return found == keys_.end() ? nullptr : &found->value;
  }

  /// Returns the tensor with this name, or null.
  const GgufEntry* tensor(std::string_view name) const {
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const GgufEntry& entry) { return entry.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
  }

 private:
  GgufFile() = default;

  void read(std::span<const std::byte> bytes) {
    detail::GgufCursor cursor(bytes, where_);
    if (bytes.size() < 24 || cursor.number<std::uint32_t>() != 0x46554747u)
      throw FormatError(where_ + ": no GGUF file");
    version_ = cursor.number<std::uint32_t>();
    if (version_ != 2 && version_ != 3)
      throw FormatError(where_ + ": GGUF version " + std::to_string(version_) + ", expected 2 or 3");
    const auto tensors = cursor.number<std::uint64_t>(), keys = cursor.number<std::uint64_t>();
    // A key has at least 13 bytes, a tensor 32: larger counts than fit in the file are refused before
    // memory is allocated.
    if (keys > cursor.left() / 13 || tensors > cursor.left() / 32)
      cursor.fail("more keys or tensors than the file holds");
    for (std::uint64_t i = 0; i < keys; ++i) read_key(cursor);
    expect_distinct(keys_, "key");
    read_alignment(cursor);
    for (std::uint64_t i = 0; i < tensors; ++i) read_tensor(cursor);
    expect_distinct(tensors_, "tensor");
    place_tensors(bytes, cursor);
  }

  void read_key(detail::GgufCursor& cursor) {
    std::string name = cursor.text();
    if (name.empty()) cursor.fail("a key without a name");
    keys_.push_back({std::move(name), cursor.value()});
  }

  void read_alignment(const detail::GgufCursor& cursor) {
    const GgufValue* value = find("general.alignment");
    if (value == nullptr) return;
    const auto* number = std::get_if<std::uint32_t>(value);
    if (number == nullptr || !std::has_single_bit(*number))
      cursor.fail("general.alignment: expected a power of two, u32");
    alignment_ = *number;
  }

  void read_tensor(detail::GgufCursor& cursor) {
    GgufEntry entry{.name = cursor.text(), .layout = {}, .shape = {}, .offset = 0, .data = {}};
    const auto fail = [&](const std::string& problem) {
      cursor.fail("tensor \"" + printable(entry.name) + "\": " + problem);
    };
    if (entry.name.empty() || entry.name.size() > detail::gguf_longest_name) fail("expected a name of 1 to 63 bytes");
    const auto extents = cursor.number<std::uint32_t>();
    if (extents < 1 || extents > 4) fail(std::to_string(extents) + " extents, expected 1 to 4");
    for (std::uint32_t i = 0; i < extents; ++i) entry.shape.insert(entry.shape.begin(), cursor.number<std::int64_t>());
    for (const std::int64_t extent : entry.shape)
      if (extent < 0) fail("a negative extent");
    const auto type = cursor.number<std::uint32_t>();
    const auto layout = find_ggml_layout(type);
    if (!layout) fail("the element type " + std::to_string(type) + " is not known");
    entry.layout = *layout;
    entry.offset = cursor.number<std::uint64_t>();
    tensors_.push_back(std::move(entry));
  }

  void place_tensors(std::span<const std::byte> bytes, const detail::GgufCursor& cursor) {
    const auto start = Checked<std::uint64_t>(cursor.at()).align_up(alignment_);
    Checked<std::uint64_t> end = 0;
    for (GgufEntry& entry : tensors_) {
      const auto fail = [&](const std::string& problem) {
        throw FormatError(where_ + ": tensor \"" + printable(entry.name) + "\": " + problem);
      };
      const auto size = detail::ggml_bytes(entry.layout, entry.shape);
      if (!size) fail("a row is not a multiple of the block of " + std::string(entry.layout.name));
      if (!end.ok() || end.value() != entry.offset)
        fail("has offset " + std::to_string(entry.offset) + ", expected the end of the tensor before");
      const auto first = start + end, last = first + *size;
      if (!last.ok() || last.value() > bytes.size()) fail("ends outside the file: it was cut short");
      entry.data = bytes.subspan(static_cast<std::size_t>(first.value()), static_cast<std::size_t>(size->value()));
      end += size->align_up(alignment_);
    }
  }

  /// Sorts instead of hashing, so that a hostile file cannot slow it down.
  template <class Entry>
  void expect_distinct(const std::vector<Entry>& entries, const char* what) const {
    std::vector<std::string_view> names;
    for (const Entry& entry : entries) names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end())
      throw FormatError(where_ + ": the " + what + " \"" + printable(*twice) + "\" is given twice");
  }

  std::string where_;
  std::shared_ptr<const MappedFile> mapping_;
  std::uint32_t version_ = 3;
  std::uint64_t alignment_ = detail::gguf_alignment;
  std::vector<GgufKey> keys_;
  std::vector<GgufEntry> tensors_;
};

}  // namespace veneer
