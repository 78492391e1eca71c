// SPDX-License-Identifier: Apache-2.0
/// \file normalizers.hpp
/// The normalizers of a tokenizer.json, which are applied to a text before it is split into words.
///
///     UnicodeForm    NFC, NFD, NFKC, NFKD              Prepend      " " at the start of a text that is not empty
///     Lowercase      each character alone              Replace      a string or an expression by a string
///     StripAccents   without combining marks           MarkSpaces   Prepend and Replace of spaces by "▁" in one pass
///     Strip          without white space at the ends
///
/// Each has `apply(text, origins, scratch, out)`, which returns false if the text does not change. Origins are ranges
/// of `text`, one per byte of the result; the origin of inserted bytes is the last character that they replace.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "veneer/text/normalize.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/text_pattern.hpp"
#include "veneer/text/unicode.hpp"
#include "veneer/text/unicode_older.hpp"

namespace veneer {

namespace detail {

/// Appends `text` with the origin `from`.
inline void put(Normalized& out, std::string_view text, bool origins, ByteRange from) {
  out.text.append(text);
  if (origins) out.origin.resize(out.text.size(), from);
}

/// Appends bytes [begin, end) of `text` unchanged.
inline void keep(Normalized& out, std::string_view text, ByteRange bytes, bool origins) {
  out.text.append(text.substr(bytes.begin, bytes.end - bytes.begin));
  if (!origins) return;
  for (std::size_t at = bytes.begin; at < bytes.end;) {
    const std::size_t end = at + std::max<std::size_t>(1, decode_utf8(text, at).length);
    out.origin.resize(out.origin.size() + (end - at), ByteRange{at, end});
    at = end;
  }
}

}  // namespace detail

namespace normalizers {

struct UnicodeForm {
  NormalForm form = NormalForm::nfc;

  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    std::optional<Normalized> normal = normal_form(text, form, origins);
    if (normal) out = std::move(*normal);
    return normal.has_value();
  }
};

struct Lowercase {
  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint point = decode_utf8(text, at);
      const std::size_t before = out.text.size();
      append_utf8(out.text, to_lower(point.value));
      if (point.value == 0x130) append_utf8(out.text, 0x307);
      if (origins) out.origin.resize(out.origin.size() + (out.text.size() - before), {at, at + point.length});
      at += point.length;
    }
    return true;
  }
};

struct StripAccents {
  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    each_character_part(text, is_combining_mark, [&](ByteRange part, bool is_mark) {
      if (!is_mark) detail::keep(out, text, part, origins);
    });
    return true;
  }
};

struct Strip {
  bool left = true, right = true;

  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    std::size_t begin = 0, end = text.size();
    while (left && begin < end && is_white_space(decode_utf8(text, begin).value))
      begin += decode_utf8(text, begin).length;
    while (right && begin < end && is_white_space(code_point_before(text, end).value))
      end -= code_point_before(text, end).length;
    detail::keep(out, text, {begin, end}, origins);
    return true;
  }
};

struct Prepend {
  std::string content;

  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    if (text.empty()) return false;
    detail::put(out, content, origins, {0, decode_utf8(text, 0).length});
    detail::keep(out, text, {0, text.size()}, origins);
    return true;
  }
};

struct Replace {
  TextPattern pattern;
  std::string content;

  bool apply(std::string_view text, bool origins, detail::MatchScratch& scratch, Normalized& out) const {
    each_part(pattern, text, scratch, [&](ByteRange part, bool is_match) {
      if (!is_match) return detail::keep(out, text, part, origins);
      const ByteRange last = part.end == 0 ? ByteRange{} : last_character(text, part.end);
      detail::put(out, content, origins, last);
    });
    return true;
  }

 private:
  static ByteRange last_character(std::string_view text, std::size_t end) {
    return {end - code_point_before(text, end).length, end};
  }
};

struct MarkSpaces {
  bool prefix = false;

  bool apply(std::string_view text, bool origins, detail::MatchScratch&, Normalized& out) const {
    mark_spaces(text, prefix, origins, out);
    return true;
  }
};

}  // namespace normalizers

using Normalizer =
    std::variant<normalizers::UnicodeForm, normalizers::Lowercase, normalizers::StripAccents, normalizers::Strip,
                 normalizers::Prepend, normalizers::Replace, normalizers::MarkSpaces>;

/// Applies all of `steps` and stores the result in `out`; returns false if the text does not change. `spare`
/// is scratch memory.
inline bool normalize(std::span<const Normalizer> steps, std::string_view text, bool origins,
                      detail::MatchScratch& scratch, Normalized& out, Normalized& spare) {
  bool changed = false;
  for (const Normalizer& step : steps) {
    const std::string_view now = changed ? std::string_view(out.text) : text;
    spare.text.clear();
    spare.origin.clear();
    if (!std::visit([&](const auto& one) { return one.apply(now, origins, scratch, spare); }, step)) continue;
    if (changed && origins) {
      for (ByteRange& range : spare.origin) {
        if (range.end > range.begin) range = {out.origin[range.begin].begin, out.origin[range.end - 1].end};
      }
    }
    std::swap(out, spare);
    changed = true;
  }
  return changed;
}

}  // namespace veneer
