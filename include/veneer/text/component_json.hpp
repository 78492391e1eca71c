// SPDX-License-Identifier: Apache-2.0
/// \file component_json.hpp
/// Common parts of the readers of tokenizer.json components: sequences, patterns and single characters.
#pragma once

#include <string>
#include <string_view>

#include "veneer/io/utf8.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/text_pattern.hpp"
#include "veneer/text/tokenizer_file.hpp"

namespace veneer::detail {

class ComponentReader : protected TokenizerFile {
 protected:
  explicit ComponentReader(const TokenizerFile& file) : TokenizerFile(file) {}

  /// Calls `read(component, type)` for a component, or for each one of a Sequence, whose list is under `parts`.
  template <class Read>
  void each_component(const Json& component, const std::string& key, const char* parts, const Read& read) const {
    const std::string& type = type_of(component, key);
    if (type != "Sequence") return read(component, type);
    only(component, key, {"type", parts});
    for (const Json& part : list(component, parts, key)) each_component(part, key, parts, read);
  }

  /// Reads a pattern: {"String": "..."} or {"Regex": "..."}.
  TextPattern pattern(const Json& component, const std::string& key) const {
    const std::string path = key + ".pattern";
    const Json& value = member(component, "pattern", path);
    const Json* const text = value.is_object() && value.size() == 1 ? find_json(value, "String") : nullptr;
    const Json* const regex = value.is_object() && value.size() == 1 ? find_json(value, "Regex") : nullptr;
    const Json* const found = text != nullptr ? text : regex;
    expect(found != nullptr && found->is_string(), path, value, "{\"String\": text} or {\"Regex\": text}");
    const std::string& content = found->get_ref<const std::string&>();
    if (content.empty()) fail(Reason::unsupported_pattern, path, "is empty: there is no text to search");
    if (found == text) return content;
    try {
      return Regex(content);
    } catch (const RegexError& error) {
      fail(Reason::unsupported_pattern, key, "the pattern " + describe_json(*found) + ": " + error.what());
    }
  }

  /// Reads a text of one character.
  std::string character(const Json& component, const char* name, const std::string& key) const {
    const std::string& found = text(component, name, key);
    if (found.empty() || decode_utf8(found, 0).length != found.size())
      fail(Reason::unsupported_option, key + "." + name, "found \"" + printable(found) + "\", expected one character");
    return found;
  }

  SplitBehavior behavior(const Json& component, const std::string& key) const {
    const std::string& name = text(component, "behavior", key);
    if (name == "Removed") return SplitBehavior::removed;
    if (name == "Isolated") return SplitBehavior::isolated;
    if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
    if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
    if (name == "Contiguous") return SplitBehavior::contiguous;
    fail(Reason::unsupported_option, key + ".behavior",
         "found \"" + printable(name) +
             "\", expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
  }

  /// Reads when Metaspace prepends a mark. Files from before 2024 have a flag, without the value "first".
  PiecePrefix prefix_scheme(const Json& component, const std::string& key) const {
    const bool prefix = flag_or(component, "add_prefix_space", key, true);
    const std::string scheme =
        find_json(component, "prepend_scheme") != nullptr ? text(component, "prepend_scheme", key) : "always";
    if (scheme != "never" && scheme != "always" && scheme != "first")
      fail(Reason::unsupported_option, key + ".prepend_scheme",
           "found \"" + printable(scheme) + "\", expected always, first or never");
    if (!prefix && scheme != "never" && find_json(component, "prepend_scheme") != nullptr)
      fail(Reason::unsupported_option, key + ".add_prefix_space", "is false, and prepend_scheme is \"" + scheme + "\"");
    if (scheme == "never" || !prefix) return PiecePrefix::never;
    return scheme == "first" ? PiecePrefix::first_unless_there : PiecePrefix::unless_there;
  }
};

}  // namespace veneer::detail
