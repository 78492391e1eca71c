// SPDX-License-Identifier: Apache-2.0
/// \file protobuf.hpp
/// A reader of the fields of a protocol buffer as bytes and numbers, without a schema.
///
///     field     varint(number << 3 | type), then by type:
///               0 varint   1 eight bytes   2 varint(n) and n bytes   5 four bytes
///
/// Protocol Buffers Documentation, "Encoding".
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace veneer::detail {

struct ProtobufField {
  enum class Type { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
  std::uint64_t number = 0;
  Type type = Type::varint;
  std::uint64_t value = 0;      // of a number
  std::string_view bytes = {};  // of type `bytes`

  float as_float() const {
    const auto bits = static_cast<std::uint32_t>(value);
    float result = 0;
    std::memcpy(&result, &bits, sizeof result);
    return result;
  }
};

/// Removes and returns a varint at the front of `rest`.
inline std::optional<std::uint64_t> take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest.front());
    rest.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<std::uint64_t>(byte & 0x7Fu) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

/// Removes and returns a field at the front of `rest`; nullopt if it is invalid.
inline std::optional<ProtobufField> take_field(std::string_view& rest) {
  const auto tag = take_varint(rest);
  if (!tag || *tag >> 3 == 0 || *tag >> 32 != 0) return std::nullopt;
  ProtobufField field{.number = *tag >> 3, .type = static_cast<ProtobufField::Type>(*tag & 7u)};
  const auto fixed = [&](std::size_t size) -> bool {
    if (rest.size() < size) return false;
    for (std::size_t i = size; i-- > 0;) field.value = field.value << 8 | static_cast<unsigned char>(rest[i]);
    rest.remove_prefix(size);
    return true;
  };
  switch (field.type) {
    case ProtobufField::Type::fixed64: return fixed(8) ? std::optional(field) : std::nullopt;
    case ProtobufField::Type::fixed32: return fixed(4) ? std::optional(field) : std::nullopt;
    case ProtobufField::Type::varint:
    case ProtobufField::Type::bytes: break;
    default: return std::nullopt;
  }
  const auto value = take_varint(rest);
  if (!value) return std::nullopt;
  field.value = *value;
  if (field.type == ProtobufField::Type::varint) return field;
  if (field.value > rest.size()) return std::nullopt;
  field.bytes = rest.substr(0, static_cast<std::size_t>(field.value));
  rest.remove_prefix(field.bytes.size());
  return field;
}

/// Calls `f(field)` for the fields of a message in order; returns false if the bytes are not a message.
template <class F>
bool for_each_field(std::string_view message, const F& f) {
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) return false;
    f(*field);
  }
  return true;
}

}  // namespace veneer::detail
