// SPDX-License-Identifier: Apache-2.0
/// \file special_tokens.hpp
/// SpecialTokens: the names of a model's special tokens, from `tokenizer_config.json` and, for those
/// missing there, `special_tokens_map.json`.
///
///     {"bos_token": "<s>"}    or    {"bos_token": {"content": "<s>", ...}}    or null
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/text/json_scan.hpp"

namespace veneer {

struct SpecialTokens {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<std::string> pad;
  std::optional<std::string> unk;
  std::optional<bool> add_bos, add_eos;  // for a tokenizer.model only; a tokenizer.json has its own settings
};

namespace detail {

/// Returns the names and values of an object in a settings file. Scanned, not parsed: `model_max_length` is often
/// 10^30, which fits in no integer type.
inline JsonScan scan_settings(std::string_view value, const std::filesystem::path& path) {
  if (find_invalid_utf8(value)) throw FormatError(path.string() + ": the bytes are not UTF-8");
  if (json_depth(value) > 512) throw FormatError(path.string() + ": nested deeper than 512 levels");
  JsonScan found = scan_json(value);
  if (found.syntax_error) {
    throw FormatError(path.string() + ": not valid JSON at byte " + std::to_string(*found.syntax_error));
  }
  if (found.lone_surrogate || found.duplicate || found.kind != JsonKind::object) {
    throw FormatError(path.string() + ": expected an object of distinct names, without unpaired surrogates");
  }
  return found;
}

inline constexpr std::size_t settings_limit = std::size_t{16} << 20;  // bytes of such a file

/// Sets the tokens that are still empty from one of the two files; a missing file is ignored.
inline void add_special_tokens(const std::filesystem::path& path, SpecialTokens& tokens) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_text(path, settings_limit);
  const JsonScan file = scan_settings(text, path);
  const auto read = [&](const char* name, std::optional<std::string>& token) {
    const JsonField* field = file.find(name);
    if (token || field == nullptr || field->kind == JsonKind::null) return;
    if (field->kind == JsonKind::string) {
      token = unescape_json(field->value);
      return;
    }
    const JsonScan object = field->kind == JsonKind::object ? scan_settings(field->value, path) : JsonScan{};
    const JsonField* content = object.find("content");
    if (content == nullptr || content->kind != JsonKind::string) {
      throw FormatError(path.string() + ": \"" + name + "\": expected a text or an object with the text \"content\"");
    }
    token = unescape_json(content->value);
  };
  read("bos_token", tokens.bos);
  read("eos_token", tokens.eos);
  read("pad_token", tokens.pad);
  read("unk_token", tokens.unk);
  const auto read_flag = [&](const char* name, std::optional<bool>& flag) {
    const JsonField* field = file.find(name);
    if (!flag && field != nullptr && field->kind == JsonKind::boolean) flag = field->value == "true";
  };
  read_flag("add_bos_token", tokens.add_bos);
  read_flag("add_eos_token", tokens.add_eos);
}

}  // namespace detail

/// Returns the special tokens of a model's folder. Throws `FormatError` and `IoError`.
inline SpecialTokens read_special_tokens(const std::filesystem::path& folder) {
  SpecialTokens tokens;
  detail::add_special_tokens(folder / "tokenizer_config.json", tokens);
  detail::add_special_tokens(folder / "special_tokens_map.json", tokens);
  return tokens;
}

}  // namespace veneer
