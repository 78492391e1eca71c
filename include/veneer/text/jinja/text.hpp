// SPDX-License-Identifier: Apache-2.0
/// \file text.hpp
/// Text: a string that records which of its bytes come from the input, with the characters of Python's str.
///
///     "<|user|>" + content      bytes = "<|user|>Hi", input = {[8, 10)}
///
/// A slice keeps the ranges inside it; a concatenation shifts those of its right side. White space is that of
/// `str.isspace` in Python: White_Space of Unicode, and U+001C to U+001F.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utf8proc.h>
#include <utility>
#include <vector>

#include "veneer/io/utf8.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer::jinja {

/// A string with the ranges of its bytes that come from the input: in order, disjoint, none empty.
struct Text {
  std::string bytes;
  std::vector<ByteRange> input;
  bool markup = false;  // markupsafe's Markup: already escaped

  void add(std::string_view constant) { bytes += constant; }

  void add(const Text& other) {
    for (const ByteRange& range : other.input) mark(bytes.size() + range.begin, bytes.size() + range.end);
    bytes += other.bytes;
  }

  /// Appends bytes that come from the input if `is_input`.
  void add(std::string_view some, bool is_input) {
    if (is_input) mark(bytes.size(), bytes.size() + some.size());
    bytes += some;
  }

  /// Marks [begin, end) as input; not before the end of the last range.
  void mark(std::size_t begin, std::size_t end) {
    if (begin >= end) return;
    if (!input.empty() && input.back().end >= begin) {
      input.back().end = std::max(input.back().end, end);
    } else {
      input.push_back({begin, end});
    }
  }

  /// Returns bytes [begin, end) with their ranges.
  Text part(std::size_t begin, std::size_t end) const {
    Text out{bytes.substr(begin, end - begin), {}, markup};
    auto range = std::partition_point(input.begin(), input.end(), [&](const ByteRange& r) { return r.end <= begin; });
    for (; range != input.end() && range->begin < end; ++range) {
      out.mark(std::max(range->begin, begin) - begin, std::min(range->end, end) - begin);
    }
    return out;
  }

  /// Returns whether byte `at` comes from the input.
  bool is_input(std::size_t at) const {
    const auto range =
        std::partition_point(input.begin(), input.end(), [&](const ByteRange& r) { return r.end <= at; });
    return range != input.end() && range->begin <= at;
  }
};

inline bool is_space(char32_t point) { return (point >= 0x1C && point <= 0x1F) || is_white_space(point); }

/// Returns the code point at byte `at` of well-formed text.
inline CodePoint point_at(std::string_view text, std::size_t at) { return decode_utf8(text, at); }

/// Returns the number of characters of well-formed text.
inline std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

/// Returns the byte offsets of characters, and the size of the text.
inline std::vector<std::size_t> character_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (!is_continuation(text, at)) offsets.push_back(at);
  }
  offsets.push_back(text.size());
  return offsets;
}

/// Returns the byte offset of character `index`, or the size of the text.
inline std::size_t byte_of_character(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (is_continuation(text, at)) continue;
    if (index-- == 0) return at;
  }
  return at;
}

/// Returns the range of a text without leading and trailing characters for which `drop` holds.
template <class Drop>
ByteRange stripped(std::string_view text, bool left, bool right, const Drop& drop) {
  ByteRange range{0, text.size()};
  while (left && range.begin < range.end) {
    const CodePoint point = point_at(text, range.begin);
    if (!drop(point.value)) break;
    range.begin += point.length;
  }
  while (right && range.begin < range.end) {
    const CodePoint point = code_point_before(text, range.end);
    if (!drop(point.value)) break;
    range.end -= point.length;
  }
  return range;
}

/// Returns a text converted character by character: `change(out, point)` appends the result for a character. Input
/// ranges are kept.
template <class Change>
Text changed_characters(const Text& text, const Change& change) {
  Text out;
  out.markup = text.markup;
  for (std::size_t at = 0; at < text.bytes.size();) {
    const CodePoint point = point_at(text.bytes, at);
    const std::size_t begin = out.bytes.size();
    change(out.bytes, point.value, at);
    if (text.is_input(at)) out.mark(begin, out.bytes.size());
    at += point.length;
  }
  return out;
}

inline utf8proc_category_t category_of(char32_t point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

/// Returns whether Python's repr does not escape a character.
inline bool is_printable(char32_t point) {
  switch (category_of(point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return point == U' ';
    default: return true;
  }
}

}  // namespace veneer::jinja
