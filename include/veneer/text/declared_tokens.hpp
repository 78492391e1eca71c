// SPDX-License-Identifier: Apache-2.0
/// \file declared_tokens.hpp
/// Tokens declared in files next to a tokenizer.json: `tokenizer_config.json`, `special_tokens_map.json` and
/// `added_tokens.json`. They are added as by transformers 5.
///
///     added_tokens_decoder     {"507": {"content": "<|im_start|>", "special": true, ...}, ...}, in the order of ids
///     bos_token, ..._token     "<s>" or {"content": "<s>", ...}           special; if not already an added token
///     extra_special_tokens     ["<x>", ...] or {"name_token": "<x>"}     as above; formerly additional_special_tokens
///     added_tokens.json        {"<x>": 507, ...}                          if there is no added_tokens_decoder
///
/// A token in the vocabulary keeps its id; any other gets the next free one, whatever id is declared.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
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

/// A token to add, before it has an id.
struct DeclaredToken {
  AddedToken token;
  bool only_if_new = false;  // keep an existing added token with this content, unless it is also declared
};

namespace detail {

/// A reader of the tokens of a folder.
class DeclaredTokenReader {
 public:
  /// Returns the declared tokens. `config`, `map` and `added` are the texts of the three files, empty if absent;
  /// `known` are the added tokens of the tokenizer.json. Throws `FormatError`.
  std::vector<DeclaredToken> read(std::string_view config, std::string_view map, std::string_view added,
                                  const std::vector<AddedToken>& known) {
    const bool has_decoder = !config.empty() && read_decoder(config);
    if (!config.empty()) read_settings(config, "tokenizer_config.json", false);
    if (!map.empty() && !has_decoder) read_settings(map, "special_tokens_map.json", true);
    if (!added.empty() && !has_decoder) read_added(added);
    for (const AddedToken& token : known) {
      if (!has_decoder) by_id_[token.id] = {token, true};
    }
    if (!extra_) extra_ = std::move(additional_);
    std::vector<DeclaredToken> tokens;
    for (auto& [id, read] : by_id_) {
      read.token.special = read.token.special || is_named(read.token.content, false);
      tokens.push_back({read.finished(), false});
    }
    for (const char* const name : standard_names) put_named(name, tokens);
    for (const auto& entry : named_) {
      if (!is_standard(entry.first)) put_named(entry.first, tokens);
    }
    if (extra_) {
      for (const Read& read : *extra_) put_new(read, tokens);
    }
    return tokens;
  }

 private:
  static constexpr std::array<const char*, 7> standard_names{"bos_token", "eos_token", "unk_token", "sep_token",
                                                             "pad_token", "cls_token", "mask_token"};

  /// A token as written in a file; `normalized` may follow from `special`, which is determined later.
  struct Read {
    AddedToken token;
    bool normalized_is_known = false;
    bool is_text = false;           // a text, not an object
    bool counts_as_special = true;  // for added_tokens.json: an object of tokenizer_config.json does not

    AddedToken finished() const {
      AddedToken done = token;
      if (!normalized_is_known) done.normalized = !done.special;
      return done;
    }
  };

  static bool is_standard(std::string_view name) {
    return std::find(standard_names.begin(), standard_names.end(), name) != standard_names.end();
  }

  [[noreturn]] static void fail(const std::string& where, const std::string& message) {
    throw FormatError(where + ": " + message);
  }

  /// Reads a token from a text, which makes it special, or from an object.
  static Read token_of(const Json& value, const std::string& where) {
    Read read;
    AddedToken& token = read.token;
    token.special = read.is_text = value.is_string();
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
      token.normalized = flag("normalized", false);
      read.normalized_is_known = find_json(value, "normalized") != nullptr;
    }
    if (token.content.size() > longest_token)
      fail(where, "the token is longer than " + std::to_string(longest_token) + " bytes");
    return read;
  }

  /// Reads the tokens of `added_tokens_decoder`; returns false if there is none.
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

  /// Reads the named and extra tokens of a file. `map`: the file is special_tokens_map.json, which takes precedence.
  void read_settings(std::string_view text, const std::string& where, bool map) {
    const JsonScan file = scan_settings(text, where);
    for (const JsonField& field : file.fields) {
      const std::string key(field.name);
      const bool text_token = field.kind == JsonKind::string && key.ends_with("_token");
      if (!text_token && !(is_standard(key) && field.kind == JsonKind::object)) continue;
      Read read = token_of(parse_json(field.value, where + ": " + key), where + ": " + key);
      read.counts_as_special = is_standard(key) && (read.is_text || map);
      set_named(key, std::move(read));
    }
    if (const JsonField* const field = file.find("extra_special_tokens");
        field != nullptr && field->kind != JsonKind::null)
      read_extra(*field, where + ": extra_special_tokens", extra_);
    const JsonField* const field = file.find("additional_special_tokens");
    if (field == nullptr || field->kind == JsonKind::null) return;
    additional_.reset();
    read_extra(*field, where + ": additional_special_tokens", additional_);
    if (map || extra_is_named_) return;
    if (extra_ && extra_->empty()) extra_.reset();
    if (!extra_) extra_ = std::exchange(additional_, std::nullopt);
  }

  /// Adds the tokens of a list to `list`, those of an object to the named ones.
  void read_extra(const JsonField& field, const std::string& where, std::optional<std::vector<Read>>& list) {
    if (field.kind == JsonKind::object) {
      const JsonScan object = scan_settings(field.value, where);
      for (const JsonField& entry : object.fields) {
        const std::string key(entry.name);
        Read read = token_of(parse_json(entry.value, where), where + ": " + key);
        read.counts_as_special = is_standard(key);
        set_named(key, std::move(read));
        extra_is_named_ = true;
      }
      return;
    }
    const Json value = parse_json(field.value, where);
    if (!value.is_array()) fail(where, "expected a list or an object, found " + describe_json(value));
    if (!list) list.emplace();
    for (const Json& entry : value) list->push_back(token_of(entry, where));
  }

  void read_added(std::string_view text) {
    const std::string where = "added_tokens.json";
    const Json entries = parse_json(text, where);
    if (!entries.is_object()) fail(where, "expected an object, found " + describe_json(entries));
    for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
      if (!entry.value().is_number_integer() || entry.value().get<double>() < 0 ||
          entry.value().get<double>() > 2147483647.0)
        fail(where, "\"" + printable(entry.key()) + "\": expected an id, found " + describe_json(entry.value()));
      Read read = token_of(entry.key(), where);
      read.token.special = is_named(read.token.content, true) || is_extra(read.token.content);
      read.token.normalized = !read.token.special;
      read.normalized_is_known = true;
      by_id_[entry.value().get<std::int32_t>()] = std::move(read);
    }
  }

  bool is_named(const std::string& content, bool for_added_tokens) const {
    return std::any_of(named_.begin(), named_.end(), [&](const auto& entry) {
      return entry.second.token.content == content && (!for_added_tokens || entry.second.counts_as_special);
    });
  }
  bool is_extra(const std::string& content) const {
    return extra_ &&
           std::any_of(extra_->begin(), extra_->end(), [&](const Read& read) { return read.token.content == content; });
  }

  auto find_named(const std::string& name) {
    return std::find_if(named_.begin(), named_.end(), [&](const auto& entry) { return entry.first == name; });
  }

  void set_named(const std::string& name, Read read) {
    const auto found = find_named(name);
    if (found == named_.end()) {
      named_.emplace_back(name, std::move(read));
    } else {
      found->second = std::move(read);
    }
  }

  void put_named(const std::string& name, std::vector<DeclaredToken>& tokens) {
    const auto found = find_named(name);
    if (found == named_.end()) return;
    Read read = found->second;
    read.token.special = true;
    put_new(read, tokens);
  }

  /// Adds a token. Duplicate texts are added once; objects are added again, and the flags of the last one are used.
  void put_new(const Read& read, std::vector<DeclaredToken>& tokens) {
    if (read.is_text && !texts_.insert(read.token.content).second) return;
    tokens.push_back({read.finished(), true});
  }

  std::map<std::int32_t, Read> by_id_;
  std::vector<std::pair<std::string, Read>> named_;  // in the order of the files
  std::optional<std::vector<Read>> extra_, additional_;
  bool extra_is_named_ = false;  // extra_special_tokens of the configuration are an object
  std::set<std::string> texts_;
};

}  // namespace detail

/// Returns the tokens declared by the files of a model's folder, in the order in which they are added to `known`, the
/// added tokens of its tokenizer.json. Throws `FormatError` and `IoError`.
inline std::vector<DeclaredToken> read_declared_tokens(const std::filesystem::path& folder,
                                                       const std::vector<AddedToken>& known) {
  const auto text = [&](const char* name) {
    const std::filesystem::path path = folder / name;
    return std::filesystem::exists(path) ? read_text(path, detail::settings_limit) : std::string();
  };
  const std::string config = text("tokenizer_config.json"), map = text("special_tokens_map.json"),
                    added = text("added_tokens.json");
  try {
    return detail::DeclaredTokenReader().read(config, map, added, known);
  } catch (const FormatError& error) {
    throw FormatError(folder.string() + "/" + error.what());
  }
}

/// Adds `declared` to `added`, the tokens outside a model's vocabulary. `id_of(content)` is the id of a token in the
/// vocabulary, which has `vocabulary_size` tokens.
template <class IdOf>
void add_declared_tokens(const std::vector<DeclaredToken>& declared, const IdOf& id_of, std::size_t vocabulary_size,
                         std::vector<AddedToken>& added) {
  const auto has = [](const std::vector<AddedToken>& tokens, const std::string& content) {
    return std::any_of(tokens.begin(), tokens.end(), [&](const AddedToken& one) { return one.content == content; });
  };
  std::optional<std::vector<AddedToken>> before_new;  // the tokens before the first one that must be new
  for (const DeclaredToken& one : declared) {
    if (one.token.content.empty()) continue;
    if (one.only_if_new && !before_new) before_new = added;
    if (one.only_if_new && has(*before_new, one.token.content)) continue;
    const auto known = std::find_if(added.begin(), added.end(),
                                    [&](const AddedToken& other) { return other.content == one.token.content; });
    if (known != added.end()) {
      const AddedToken before = *known;
      *known = one.token;
      known->id = before.id;
      known->special = before.special || one.token.special;
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
