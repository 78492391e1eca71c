// SPDX-License-Identifier: Apache-2.0
/// \file header.hpp
/// The parser of the header of a safetensors file, which is checked before anything else is allocated.
///
///     u64 little-endian N | N bytes of JSON | data
///     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {"format": "pt"}}
///
/// Offsets count from the start of the data; the tensors, sorted by offset, fill the data without a hole or an overlap.
/// The rules and their codes: veneer/io/safetensors/error.hpp. Source: huggingface/safetensors, README.md and
/// safetensors/src/tensor.rs. Memory is at most a small multiple of the header.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/checked.hpp"
#include "veneer/io/json_dump.hpp"
#include "veneer/io/json_events.hpp"
#include "veneer/io/safetensors/dtype.hpp"
#include "veneer/io/safetensors/error.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer {

/// A tensor of a file, with its bytes in memory: row-major, little-endian, possibly not aligned to its type.
struct TensorEntry {
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape{};
  const std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::string name{};
};

/// The map `__metadata__`, from text to text.
using SafetensorsMetadata = std::map<std::string, std::string>;

namespace detail {

inline constexpr std::uint64_t largest_header = 100'000'000;
inline constexpr std::size_t most_dimensions = 8;
inline constexpr std::size_t most_tensors = std::size_t{1} << 20;
inline constexpr std::size_t most_metadata = std::size_t{1} << 16;
inline constexpr std::size_t longest_name = 1024;
inline constexpr std::size_t most_warnings = 20;

struct HeaderTensor {
  TensorEntry entry;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// A receiver of the events of a header; throws at the first event that does not fit.
class HeaderSink {
 public:
  explicit HeaderSink(const std::string& where) : where_(where) {}

  std::deque<HeaderTensor> tensors;  // in the order of the header; a deque, since a growing vector stores them twice
  SafetensorsMetadata metadata;
  std::vector<std::string> warnings;

  void null() {
    if (place_ == Place::root && is_metadata_) return;  // the reference reads null as no metadata
    value("null");
  }
  void boolean(bool) { value("a boolean"); }
  void integer(std::int64_t number) { bad_number(std::to_string(number)); }
  void number(double number) { bad_number("a fraction or an exponent (" + python_float(number) + ")"); }

  void unsigned_integer(std::uint64_t number) {
    if (place_ == Place::list && field_ == Field::shape) {
      if (shape_.size() == most_dimensions) fail(SafetensorsError::too_many_dimensions, "more than 8 dimensions");
      shape_.push_back(number);
    } else if (place_ == Place::list && field_ == Field::offsets) {
      if (offset_count_ == 2)
        fail(SafetensorsError::invalid_header, "\"data_offsets\" has more than 2 numbers, expected [begin, end]");
      offsets_[offset_count_++] = number;
    } else {
      value("a number");
    }
  }

  void text(std::string&& text) {
    if (place_ == Place::metadata) {
      metadata.find(metadata_key_)->second = std::move(text);
    } else if (place_ == Place::entry && field_ == Field::dtype) {
      dtype_ = find_dtype(text);
      if (!dtype_) fail(SafetensorsError::unknown_dtype, "the dtype \"" + printable(text) + "\" is unknown");
    } else {
      value("a text");
    }
  }

  void key(std::string&& name) {
    if (place_ == Place::root) return begin_tensor(std::move(name));
    if (place_ == Place::metadata) return begin_metadata(std::move(name));
    if (place_ == Place::entry) begin_field(name);
  }

  void begin_object() {
    if (place_ == Place::start) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = is_metadata_ ? Place::metadata : Place::entry;
    } else if (place_ == Place::entry && field_ == Field::unknown) {
      place_ = Place::skipped;
    } else {
      value("an object");
    }
  }

  void begin_array() {
    if (place_ == Place::entry && (field_ == Field::shape || field_ == Field::offsets)) {
      place_ = Place::list;
    } else if (place_ == Place::entry && field_ == Field::unknown) {
      place_ = Place::skipped;
    } else {
      value("a list");
    }
  }

  void end_array() { place_ = Place::entry; }

  void end_object() {
    if (place_ == Place::skipped) {
      place_ = Place::entry;
    } else if (place_ == Place::entry) {
      end_tensor();
      place_ = Place::root;
    } else if (place_ == Place::metadata) {
      place_ = Place::root;
    }
  }

  /// Throws with the file and the current tensor.
  [[noreturn]] void fail(SafetensorsError code, const std::string& message) const {
    std::string at = where_ + ": ";
    if (place_ == Place::metadata || is_metadata_) {
      at += "__metadata__: ";
    } else if (!name_.empty()) {
      at += "tensor \"" + printable(name_) + "\": ";
    }
    throw SafetensorsFormatError(code, at + message);
  }

 private:
  // All possible positions, since the JSON reader has a limit of three levels.
  enum class Place { start, root, metadata, entry, list, skipped };
  enum class Field { dtype, shape, offsets, unknown };

  void begin_tensor(std::string&& name) {
    name_.clear();
    is_metadata_ = name == "__metadata__";
    if (is_metadata_) {
      if (std::exchange(has_metadata_, true)) fail(SafetensorsError::duplicate_name, "given twice");
      return;
    }
    name_ = std::move(name);
    if (name_.empty()) fail(SafetensorsError::invalid_name, "a tensor with an empty name");
    if (name_.size() > longest_name) {
      fail(SafetensorsError::invalid_name,
           "a name of " + std::to_string(name_.size()) + " bytes, at most 1024 are read");
    }
    if (name_.find('\0') != std::string::npos) fail(SafetensorsError::invalid_name, "a name with a NUL byte");
    if (tensors.size() == most_tensors) fail(SafetensorsError::too_many_tensors, "more than 1048576 tensors");
    dtype_.reset();
    shape_.clear();
    offset_count_ = 0;
    seen_ = {};
  }

  void begin_metadata(std::string&& key) {
    if (metadata.size() == most_metadata) fail(SafetensorsError::too_many_tensors, "more than 65536 entries");
    metadata_key_ = key;
    if (!metadata.emplace(std::move(key), std::string()).second) {
      fail(SafetensorsError::duplicate_name, "the key \"" + printable(metadata_key_) + "\" is given twice");
    }
  }

  void begin_field(const std::string& name) {
    field_ = name == "dtype"          ? Field::dtype
             : name == "shape"        ? Field::shape
             : name == "data_offsets" ? Field::offsets
                                      : Field::unknown;
    if (field_ == Field::unknown) {
      if (warnings.size() < most_warnings) {
        warnings.push_back(where_ + ": tensor \"" + printable(name_) + "\": the unknown key \"" + printable(name) +
                           "\" is ignored");
      }
    } else if (std::exchange(seen_[static_cast<std::size_t>(field_)], true)) {
      fail(SafetensorsError::duplicate_name, "\"" + name + "\" is given twice");
    }
  }

  void end_tensor() {
    if (!dtype_) fail(SafetensorsError::invalid_header, "\"dtype\" is missing");
    if (!seen_[1]) fail(SafetensorsError::invalid_header, "\"shape\" is missing");
    if (!seen_[2]) fail(SafetensorsError::invalid_header, "\"data_offsets\" is missing");
    if (offset_count_ != 2)
      fail(SafetensorsError::invalid_header, "\"data_offsets\" has fewer than 2 numbers, expected [begin, end]");
    HeaderTensor tensor;
    tensor.entry.dtype = *dtype_;
    tensor.entry.shape.reserve(shape_.size());
    for (const std::uint64_t extent : shape_) {
      if (!std::in_range<std::int64_t>(extent)) {
        fail(SafetensorsError::size_overflow, "an extent of " + std::to_string(extent) + ", expected less than 2^63");
      }
      tensor.entry.shape.push_back(static_cast<std::int64_t>(extent));
    }
    tensor.entry.name = std::move(name_);
    tensor.begin = offsets_[0];
    tensor.end = offsets_[1];
    tensors.push_back(std::move(tensor));
    name_.clear();
  }

  /// Refuses a value at this position, unless it belongs to an unknown key.
  void value(const char* found) {
    if (place_ == Place::skipped || (place_ == Place::entry && field_ == Field::unknown)) return;
    const std::string what = std::string("found ") + found + ", expected ";
    if (place_ == Place::start) fail(SafetensorsError::invalid_header, what + "an object at the top");
    if (is_metadata_)
      fail(SafetensorsError::invalid_metadata,
           what + (place_ == Place::root ? "an object" : "a text for \"" + printable(metadata_key_) + "\""));
    if (place_ == Place::root)
      fail(SafetensorsError::invalid_header, what + "an object with dtype, shape and data_offsets");
    constexpr std::array<const char*, 3> expected{"a text as \"dtype\"", "integers in \"shape\"",
                                                  "integers in \"data_offsets\""};
    fail(SafetensorsError::invalid_header, what + expected[static_cast<std::size_t>(field_)]);
  }

  void bad_number(const std::string& found) {
    if (place_ == Place::list)
      fail(SafetensorsError::invalid_number, "found " + found + ", expected an integer of at least 0");
    value("a number");
  }

  const std::string& where_;
  Place place_ = Place::start;
  Field field_ = Field::unknown;
  bool is_metadata_ = false;  // true within the value of "__metadata__"
  bool has_metadata_ = false;
  std::string metadata_key_;
  std::string name_;
  std::optional<Dtype> dtype_;
  std::vector<std::uint64_t> shape_;
  std::array<std::uint64_t, 2> offsets_{};
  std::size_t offset_count_ = 0;
  std::array<bool, 3> seen_{};
};

/// Throws with the file and the tensor.
[[noreturn]] inline void fail_tensor(SafetensorsError code, const std::string& where, std::string_view name,
                                     const std::string& message) {
  throw SafetensorsFormatError(code, where + ": tensor \"" + printable(name) + "\": " + message);
}

/// Returns the bytes of a tensor of this dtype and shape. Throws `SafetensorsFormatError`.
inline std::uint64_t tensor_bytes(Dtype dtype, std::span<const std::int64_t> shape, const std::string& where,
                                  std::string_view name) {
  Checked<std::uint64_t> bits = 1;
  for (const std::int64_t extent : shape) bits *= Checked<std::uint64_t>::from(extent);
  bits *= dtype_bits(dtype);
  if (!bits.ok()) fail_tensor(SafetensorsError::size_overflow, where, name, "the size in bits does not fit 64 bits");
  if (bits.value() % 8 != 0) {
    fail_tensor(SafetensorsError::misaligned_tensor, where, name,
                std::string(dtype_name(dtype)) + " of " + std::to_string(bits.value()) + " bits, expected whole bytes");
  }
  return bits.value() / 8;
}

/// Checks a tensor against the preceding one in the data, which ends at `previous`. Throws `SafetensorsFormatError`.
inline void check_place(const HeaderTensor& tensor, std::uint64_t previous, const std::string& where) {
  const TensorEntry& entry = tensor.entry;
  const auto refuse = [&](SafetensorsError code, const std::string& why) {
    fail_tensor(code, where, entry.name,
                "data_offsets [" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) + "] " + why);
  };
  if (tensor.end < tensor.begin) refuse(SafetensorsError::invalid_offset, "end before they begin");
  if (tensor.begin != previous) {
    const std::string expected =
        ", expected to begin at " + std::to_string(previous) + ", where the tensor before ends";
    if (tensor.begin < previous) refuse(SafetensorsError::overlapping_tensors, "overlap another tensor" + expected);
    refuse(SafetensorsError::hole_between_tensors, "leave a hole" + expected);
  }
  const std::uint64_t bytes = tensor_bytes(entry.dtype, entry.shape, where, entry.name);
  if (tensor.end - tensor.begin != bytes) {
    refuse(SafetensorsError::size_mismatch, "span " + std::to_string(tensor.end - tensor.begin) + " bytes, " +
                                                std::string(dtype_name(entry.dtype)) + " and the shape need " +
                                                std::to_string(bytes));
  }
}

/// Assigns to every tensor its bytes in `data`, or throws: the tensors must fill `data` exactly, without
/// holes and overlaps.
inline void place_tensors(std::deque<HeaderTensor>& tensors, std::span<const std::byte> data,
                          const std::string& where) {
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::uint32_t{0});
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(tensors[a].begin, tensors[a].end) < std::pair(tensors[b].begin, tensors[b].end);
  });
  std::uint64_t previous = 0;
  for (const std::uint32_t i : order) {
    check_place(tensors[i], previous, where);
    previous = tensors[i].end;
  }
  if (previous != data.size()) {
    throw SafetensorsFormatError(SafetensorsError::incomplete_buffer,
                                 where + ": the tensors end at byte " + std::to_string(previous) +
                                     " of the data, which has " + std::to_string(data.size()) + " bytes: " +
                                     (previous < data.size() ? "bytes are left over" : "the file is cut short"));
  }
  for (HeaderTensor& tensor : tensors) {  // only now all offsets are known to be valid
    tensor.entry.bytes = static_cast<std::size_t>(tensor.end - tensor.begin);
    tensor.entry.data = data.data() + static_cast<std::size_t>(tensor.begin);
  }
}

/// Returns the header and the data of a file, by its first 8 bytes. Throws `SafetensorsFormatError`.
inline std::pair<std::string_view, std::span<const std::byte>> split_header(std::span<const std::byte> file,
                                                                            const std::string& where) {
  if (file.size() < 8) {
    throw SafetensorsFormatError(SafetensorsError::header_too_small, where + ": " + std::to_string(file.size()) +
                                                                         " bytes, a safetensors file has at least 8");
  }
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<std::uint64_t>(file[i]);
  if (length > largest_header) {
    throw SafetensorsFormatError(SafetensorsError::header_too_large,
                                 where + ": a header of " + std::to_string(length) +
                                     " bytes, at most 100000000 are read: is this a safetensors file?");
  }
  if (length > file.size() - 8) {
    throw SafetensorsFormatError(SafetensorsError::invalid_header_length,
                                 where + ": a header of " + std::to_string(length) + " bytes in a file of " +
                                     std::to_string(file.size()) + ": the file is cut short or no safetensors file");
  }
  const auto header = static_cast<std::size_t>(length);
  return {std::string_view(reinterpret_cast<const char*>(file.data()) + 8, header), file.subspan(8 + header)};
}

/// Returns the code for a violated rule of JSON.
inline SafetensorsError header_code(JsonRule rule) {
  if (rule == JsonRule::encoding) return SafetensorsError::invalid_header_encoding;
  if (rule == JsonRule::depth) return SafetensorsError::nested_too_deep;
  if (rule == JsonRule::number) return SafetensorsError::invalid_number;
  return SafetensorsError::invalid_header;
}

}  // namespace detail
}  // namespace veneer
