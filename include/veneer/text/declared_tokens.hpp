// SPDX-License-Identifier: Apache-2.0
/// \file declared_tokens.hpp
/// Tokens that files next to a tokenizer.json declare: `tokenizer_config.json`, `special_tokens_map.json` and
/// `added_tokens.json`. They are used as transformers 5 uses them.
///
///     added_tokens_decoder     {"507": {"content": "<|im_start|>", "special": true, ...}, ...}, in the order of ids
///     bos_token, ..._token     "<s>" or {"content": "<s>", ...}           special; if not yet an added token
///     extra_special_tokens     ["<x>", ...] or {"name_token": "<x>"}     the same; before: additional_special_tokens
///     added_tokens.json        {"<x>": 507, ...}                          where there is no added_tokens_decoder
///
/// A token that the vocabulary has keeps its id there; any other gets the next free one, whatever id is declared.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"
#include "veneer/text/added_tokens.hpp"
#include "veneer/text/json_scan.hpp"
#include "veneer/text/special_tokens.hpp"
#include "veneer/text/tokenizer_error.hpp"

namespace veneer {

/// A token to add; its id is not known yet.
struct DeclaredToken {
  AddedToken token;
  bool only_if_new = false;  // an added token of this content stays as it is
};

namespace detail {

/// Reads the tokens of a folder.
class DeclaredTokenReader {
 public:
  /// `config`, `map` and `added` are the texts of the three files, empty where there is none. Throws `FormatError`.
  std::vector<DeclaredToken> read(std::string_view config, std::string_view map, std::string_view added) {
    const bool has_decoder = !config.empty() && read_decoder(config);
    read_named(config, "tokenizer_config.json", !has_decoder ? map : std::string_view());
    if (!has_decoder && !added.empty()) read_added(added);
    std::vector<DeclaredToken> tokens;
    for (auto& [id, token] : by_id_) {
      token.special = token.special || is_named(token.content);
      tokens.push_back({std::move(token), false});
    }
    for (const char* const name : standard_names) put_named(name, tokens);
    for (const auto& entry : named_) {
      if (!is_standard(entry.first)) put_named(entry.first, tokens);
    }
    for (AddedToken& token : extra_) tokens.push_back({std::move(token), true});
    return tokens;
  }

 private:
  static constexpr std::array<const char*, 7> standard_names{"bos_token", "eos_token", "unk_token", "sep_token",
                                                             "pad_token", "cls_token", "mask_token"};

  static bool is_standard(std::string_view name) {
    return std::find(standard_names.begin(), standard_names.end(), name) != standard_names.end();
  }

  [[noreturn]] static void fail(const std::string& where, const std::string& message) {
    throw FormatError(where + ": " + message);
  }

  /// A token from a text, which is special then, or an object.
  static AddedToken token_of(const Json& value, const std::string& where) {
    AddedToken token;
    token.special = value.is_string();
    if (value.is_string()) {
      token.content = value.get<std::string>();
    } else {
      const Json* const content = value.is_object() ? find_json(value, "content") : nullptr;
      if (content == nullptr || !content->is_string())
        fail(where, "expected a text or an object with the text \"content\", found " + describe_json(value));
      token.content = content->get<std::string>();
      const auto flag = [&](const char* name, bool otherwise) {
        const Json* const found = find_json(value, name);
        if (found != nullptr && !found->is_boolean()) fail(where + "." + name, "expected true or false");
        return found == nullptr ? otherwise : found->get<bool>();
      };
      token.special = flag("special", false);
      token.single_word = flag("single_word", false);
      token.lstrip = flag("lstrip", false);
      token.rstrip = flag("rstrip", false);
      token.normalized = flag("normalized", !token.special);
    }
    if (token.content.size() > longest_token)
      fail(where, "the token is longer than " + std::to_string(longest_token) + " bytes");
    return token;
  }

  /// The tokens of `added_tokens_decoder`; false if there is none.
  bool read_decoder(std::string_view config) {
    const std::string where = "tokenizer_config.json: added_tokens_decoder";
    const JsonScan file = scan_settings(config, "tokenizer_config.json");
    const JsonField* const field = file.find("added_tokens_decoder");
    if (field == nullptr || field->kind == JsonKind::null) return false;
    const Json entries = parse_json(field->value, where);
    if (!entries.is_object()) fail(where, "expected an object, found " + describe_json(entries));
    for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
      const std::string& key = entry.key();
      std::int32_t id = 0;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id < 0)
        fail(where, "expected ids from 0 to 2^31 - 1, found \"" + printable(key) + "\"");
      if (!entry.value().is_object()) fail(where + "." + key, "expected an object");
      by_id_[id] = token_of(entry.value(), where + "." + key);
    }
    return true;
  }

  /// Named and extra tokens: those of the map, where it counts, before those of the configuration.
  void read_named(std::string_view config, const std::string& where, std::string_view map) {
    if (!config.empty()) read_settings(config, where, false);
    if (!map.empty()) read_settings(map, "special_tokens_map.json", true);
  }

  void read_settings(std::string_view text, const std::string& where, bool override) {
    const JsonScan file = scan_settings(text, where);
    const JsonField* extra = nullptr;
    for (const char* const name : {"additional_special_tokens", "extra_special_tokens"}) {
      const JsonField* const found = file.find(name);
      if (found != nullptr && found->kind != JsonKind::null && found->value != "[]") extra = found;
    }
    for (const JsonField& field : file.fields) {
      const std::string key(field.name);
      const bool text_token = field.kind == JsonKind::string && key.ends_with("_token");
      if (!text_token && !(is_standard(key) && field.kind == JsonKind::object)) continue;
      if (override || !named_.contains(key))
        named_.insert_or_assign(key, token_of(parse_json(field.value, where + ": " + key), where + ": " + key));
    }
    if (extra != nullptr) read_extra(parse_json(extra->value, where), where + ": extra_special_tokens");
  }

  void read_extra(const Json& value, const std::string& where) {
    if (!value.is_array() && !value.is_object())
      fail(where, "expected a list or an object, found " + describe_json(value));
    for (auto entry = value.begin(); entry != value.end(); ++entry) {
      AddedToken token = token_of(*entry, where);
      if (value.is_object()) {
        token.special = true;
        named_.insert_or_assign(entry.key(), std::move(token));
      } else if (std::none_of(extra_.begin(), extra_.end(),
                              [&](const AddedToken& other) { return other.content == token.content; })) {
        extra_.push_back(std::move(token));
      }
    }
  }

  void read_added(std::string_view text) {
    const std::string where = "added_tokens.json";
    const Json entries = parse_json(text, where);
    if (!entries.is_object()) fail(where, "expected an object, found " + describe_json(entries));
    for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
      if (!entry.value().is_number_integer() || entry.value().get<double>() < 0 ||
          entry.value().get<double>() > 2147483647.0)
        fail(where, "\"" + printable(entry.key()) + "\": expected an id, found " + describe_json(entry.value()));
      AddedToken token = token_of(entry.key(), where);
      token.special = is_named(token.content) || is_extra(token.content);
      token.normalized = !token.special;
      by_id_[entry.value().get<std::int32_t>()] = std::move(token);
    }
  }

  bool is_named(const std::string& content) const {
    return std::any_of(named_.begin(), named_.end(),
                       [&](const auto& entry) { return entry.second.content == content; });
  }
  bool is_extra(const std::string& content) const {
    return std::any_of(extra_.begin(), extra_.end(), [&](const AddedToken& token) { return token.content == content; });
  }

  void put_named(const std::string& name, std::vector<DeclaredToken>& tokens) const {
    const auto found = named_.find(name);
    if (found == named_.end()) return;
    AddedToken token = found->second;
    token.special = true;
    tokens.push_back({std::move(token), true});
  }

  std::map<std::int32_t, AddedToken> by_id_;
  std::map<std::string, AddedToken> named_;
  std::vector<AddedToken> extra_;
};

}  // namespace detail

/// The tokens that the files of a model's folder declare, in the order in which they are added. Throws `FormatError` and
/// `IoError`.
inline std::vector<DeclaredToken> read_declared_tokens(const std::filesystem::path& folder) {
  const auto text = [&](const char* name) {
    const std::filesystem::path path = folder / name;
    return std::filesystem::exists(path) ? read_text(path, detail::settings_limit) : std::string();
  };
  const std::string config = text("tokenizer_config.json"), map = text("special_tokens_map.json"),
                    added = text("added_tokens.json");
  try {
    return detail::DeclaredTokenReader().read(config, map, added);
  } catch (const FormatError& error) {
    throw FormatError(folder.string() + "/" + error.what());
  }
}

/// Adds `declared` to `added`, the tokens beside a model's vocabulary. `id_of(content)` is the id of a token in the
/// vocabulary, which has `vocabulary_size` tokens.
template <class IdOf>
void add_declared_tokens(const std::vector<DeclaredToken>& declared, const IdOf& id_of, std::size_t vocabulary_size,
                         std::vector<AddedToken>& added) {
  for (const DeclaredToken& one : declared) {
    if (one.token.content.empty()) continue;
    const auto known = std::find_if(added.begin(), added.end(),
                                    [&](const AddedToken& other) { return other.content == one.token.content; });
    if (known != added.end()) {
      if (one.only_if_new) continue;
      const AddedToken before = *known;
      *known = one.token;
      known->id = before.id;
      known->special = before.special || one.token.special;
      if (before.special) known->normalized = before.normalized;
      continue;
    }
    AddedToken token = one.token;
    std::int64_t next = static_cast<std::int64_t>(vocabulary_size);
    for (const AddedToken& other : added) next = std::max(next, std::int64_t{other.id} + 1);
    const auto known_id = id_of(token.content);
    const std::int64_t id = known_id ? std::int64_t{*known_id} : next;
    expects<FormatError>(id <= std::numeric_limits<std::int32_t>::max(),
                         "tokenizer_config.json: no id is left for \"" + printable(token.content) + "\"");
    token.id = static_cast<std::int32_t>(id);
    added.push_back(std::move(token));
  }
}

}  // namespace veneer
