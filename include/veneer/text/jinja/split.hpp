// SPDX-License-Identifier: Apache-2.0
/// \file split.hpp
/// Splitting, replacing and padding of texts, as in the methods of Python's str. Parts are ranges of bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/text.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

/// Returns the parts of a text as values.
inline std::vector<Value> texts(Runtime& runtime, const Text& text, const std::vector<ByteRange>& parts) {
  std::vector<Value> values;
  runtime.step(parts.size());
  for (const ByteRange& part : parts) values.push_back(make_text(runtime, text.part(part.begin, part.end)));
  return values;
}

/// Returns `str.strip`, for white space or for the characters of `characters`.
inline Text strip(const Text& text, bool left, bool right, const Text* characters) {
  std::vector<char32_t> drop;
  for (std::size_t at = 0; characters != nullptr && at < characters->bytes.size();) {
    const CodePoint point = point_at(characters->bytes, at);
    drop.push_back(point.value);
    at += point.length;
  }
  const ByteRange range = stripped(text.bytes, left, right, [&](char32_t point) {
    return characters == nullptr ? is_space(point) : std::find(drop.begin(), drop.end(), point) != drop.end();
  });
  return text.part(range.begin, range.end);
}

/// Returns `str.split()` at runs of white space, from the left.
inline std::vector<ByteRange> split_spaces(std::string_view text, std::int64_t most) {
  std::vector<ByteRange> parts;
  std::size_t at = 0;
  for (;;) {
    at += stripped(text.substr(at), true, false, is_space).begin;
    if (at == text.size()) return parts;
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      parts.push_back({at, text.size()});
      return parts;
    }
    std::size_t end = at;
    while (end < text.size() && !is_space(point_at(text, end).value)) end += point_at(text, end).length;
    parts.push_back({at, end});
    at = end;
  }
}

/// Returns `str.rsplit()` at runs of white space: the remainder is the first part.
inline std::vector<ByteRange> rsplit_spaces(std::string_view text, std::int64_t most) {
  std::vector<ByteRange> parts;
  std::size_t end = text.size();
  for (;;) {
    end = stripped(text.substr(0, end), false, true, is_space).end;
    if (end == 0) break;
    if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      parts.push_back({0, end});
      break;
    }
    std::size_t at = end;
    while (at > 0 && !is_space(code_point_before(text, at).value)) at -= code_point_before(text, at).length;
    parts.push_back({at, end});
    end = at;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

/// Returns `str.split` or `str.rsplit`. A null `separator` is white space; a negative `most` means no limit.
inline std::vector<ByteRange> split(const Text& text, const Text* separator, std::int64_t most, bool right) {
  const std::string& bytes = text.bytes;
  if (separator == nullptr) return right ? rsplit_spaces(bytes, most) : split_spaces(bytes, most);
  const std::string& mark = separator->bytes;
  std::vector<ByteRange> parts;
  std::size_t begin = 0, end = bytes.size();
  while (most < 0 || static_cast<std::int64_t>(parts.size()) < most) {
    const std::size_t at = !right               ? bytes.find(mark, begin)
                           : end >= mark.size() ? bytes.rfind(mark, end - mark.size())
                                                : std::string::npos;
    if (at == std::string::npos) break;
    if (right) {
      parts.push_back({at + mark.size(), end});
      end = at;
    } else {
      parts.push_back({begin, at});
      begin = at + mark.size();
    }
  }
  parts.push_back({begin, end});
  if (right) std::reverse(parts.begin(), parts.end());
  return parts;
}

/// Returns `str.splitlines`: lines end at \n \r \r\n \v \f, U+001C to U+001E, U+0085, U+2028 and U+2029.
inline std::vector<ByteRange> lines(std::string_view text, bool keep_ends) {
  std::vector<ByteRange> parts;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = point_at(text, at);
    const char32_t p = point.value;
    std::size_t end = at + point.length;
    const bool ends = (p >= 0xA && p <= 0xD) || (p >= 0x1C && p <= 0x1E) || p == 0x85 || p == 0x2028 || p == 0x2029;
    if (ends) {
      if (p == U'\r' && end < text.size() && text[end] == '\n') ++end;
      parts.push_back({begin, keep_ends ? end : at});
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) parts.push_back({begin, text.size()});
  return parts;
}

/// Returns `str.replace`; a negative `most` means no limit.
inline Text replaced(Runtime& runtime, const Text& text, const Text& old, const Text& by, std::int64_t most) {
  Text out;
  std::size_t at = 0;
  const std::string& bytes = text.bytes;
  const auto put = [&] {
    out.add(by);
    runtime.step();
    runtime.fits(out.bytes.size());
  };
  if (old.bytes.empty()) {
    while (most != 0) {
      put();
      --most;
      if (at == bytes.size()) break;
      const std::size_t end = at + point_at(bytes, at).length;
      out.add(text.part(at, end));
      at = end;
    }
  } else {
    for (std::size_t found = bytes.find(old.bytes); found != std::string::npos && most != 0;
         found = bytes.find(old.bytes, at), --most) {
      out.add(text.part(at, found));
      put();
      at = found + old.bytes.size();
    }
  }
  out.add(text.part(at, bytes.size()));
  return out;
}

/// Returns `str.center`, `ljust` or `rjust`: `mode` is c, l or r.
inline Text filled(Runtime& runtime, const Text& text, std::int64_t width, const Text& fill, char mode) {
  const auto size = static_cast<std::int64_t>(count_characters(text.bytes));
  if (width <= size) return text;
  runtime.fits(static_cast<std::size_t>(width));
  const std::int64_t missing = width - size;
  const std::int64_t left = mode == 'l' ? 0 : mode == 'r' ? missing : missing / 2 + (missing & width & 1);
  Text out;
  for (std::int64_t i = 0; i < left; ++i) out.add(fill);
  out.add(text);
  for (std::int64_t i = left; i < missing; ++i) out.add(fill);
  return out;
}

/// Returns `str.zfill`: zeros after the sign.
inline Text zero_filled(Runtime& runtime, const Text& text, std::int64_t width) {
  const Text zero{"0", {}, false};
  const std::size_t sign = !text.bytes.empty() && (text.bytes[0] == '-' || text.bytes[0] == '+') ? 1 : 0;
  Text out = text.part(0, sign);
  out.add(filled(runtime, text.part(sign, text.bytes.size()), width - static_cast<std::int64_t>(sign), zero, 'r'));
  return out;
}

}  // namespace veneer::jinja
