// SPDX-License-Identifier: Apache-2.0
/// \file json_text.hpp
/// JSON output for the shipped data: strings, and one document per line.
#pragma once

#include <string>
#include <string_view>

#include "pretrain/document.hpp"

namespace veneer::pretrain {

/// Returns the text in quotes (RFC 8259, section 7). It must be UTF-8 without control characters, like all text here.
inline std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char byte : text) {
    expects(static_cast<unsigned char>(byte) >= 0x20, "json_string(text): control characters are not supported");
    if (byte == '"' || byte == '\\') quoted.push_back('\\');
    quoted.push_back(byte);
  }
  return quoted.append("\"");
}

/// Returns `{"prompt": ..., "completion": ...}` and a line end; with the skill's name if given.
inline std::string json_line(const Document& document, std::string_view skill = {}) {
  std::string line = "{\"prompt\": " + json_string(document.prompt);
  line.append(", \"completion\": ").append(json_string(document.completion));
  if (!skill.empty()) line.append(", \"skill\": ").append(json_string(skill));
  return line.append("}\n");
}

}  // namespace veneer::pretrain
