// SPDX-License-Identifier: Apache-2.0
/// \file substitute.hpp
/// Detection of files that a failed download leaves instead of the expected one, by their first bytes.
///
///   a git-lfs pointer   "version https://git-lfs.github.com/spec/v1\noid sha256:...\nsize 1234\n"
///   a page              "<!DOCTYPE html>...", "<html>...", "<?xml ...", after white space or a byte order mark
/// Source: github.com/git-lfs/git-lfs, docs/spec.md.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"

namespace veneer {

namespace detail {

/// Returns the digits after "\nsize " of a git-lfs pointer; empty if there are none.
inline std::string pointer_size(std::string_view text) {
  constexpr std::string_view key = "\nsize ";
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = text.substr(at + key.size());
  return std::string(rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size())));
}

/// Returns whether a text begins with the lower-case `beginning`, ignoring case.
inline bool begins_with(std::string_view text, std::string_view beginning) {
  if (text.size() < beginning.size()) return false;
  for (std::size_t i = 0; i < beginning.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    if (c != beginning[i]) return false;
  }
  return true;
}

}  // namespace detail

/// Throws if the bytes are such a substitute. `where` names the file.
/// \throws FormatError with the kind of substitute and a remedy
inline void refuse_substitute(std::string_view bytes, const std::string& where) {
  const std::string_view head = bytes.substr(0, 1024);
  if (head.starts_with("version https://git-lfs") || head.starts_with("version http://git-media")) {
    const std::string size = detail::pointer_size(head);
    throw FormatError(where + ": is a git-lfs pointer of " + std::to_string(bytes.size()) + " bytes, not the file" +
                      (size.empty() ? "" : " of " + size + " bytes that it refers to") +
                      ": run `git lfs pull` in the repository that it came from, or download the file itself");
  }
  std::string_view text = head;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  for (const char* page : {"<!doctype html", "<html", "<?xml"}) {
    if (!detail::begins_with(text, page)) continue;
    throw FormatError(where +
                      ": is a web page (HTML or XML), not the file: a server answered the download with a page, for "
                      "example to log in or to show the file. Download the file itself again, with access to it");
  }
}

}  // namespace veneer
