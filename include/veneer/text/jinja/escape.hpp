// SPDX-License-Identifier: Apache-2.0
/// \file escape.hpp
/// Escaping for HTML (markupsafe) and for URLs (`urllib.parse.quote`).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/text/jinja/text.hpp"

namespace veneer::jinja {

/// Returns the text with & < > ' " as entities; markup is not changed.
inline Text escaped(const Text& text) {
  if (text.markup) return text;
  Text out = changed_characters(text, [](std::string& to, char32_t point, std::size_t) {
    switch (point) {
      case U'&': to += "&amp;"; return;
      case U'<': to += "&lt;"; return;
      case U'>': to += "&gt;"; return;
      case U'\'': to += "&#39;"; return;
      case U'"': to += "&#34;"; return;
      default: append_utf8(to, point);
    }
  });
  out.markup = true;
  return out;
}

/// Returns the text with all bytes except letters, digits and `_.-~` as %XX. '/' is also kept, except in a query, where
/// a space becomes '+'.
inline Text url_quoted(const Text& text, bool for_query) {
  constexpr const char* digits = "0123456789ABCDEF";
  Text out;
  for (std::size_t at = 0; at < text.bytes.size(); ++at) {
    const char c = text.bytes[at];
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    std::string bytes(1, c);
    if (for_query && c == ' ') {
      bytes = "+";
    } else if (!letter && !(c >= '0' && c <= '9') && std::string_view("_.-~").find(c) == std::string_view::npos &&
               (c != '/' || for_query)) {
      bytes = {'%', digits[byte >> 4], digits[byte & 15]};
    }
    out.add(bytes, text.is_input(at));
  }
  return out;
}

}  // namespace veneer::jinja
