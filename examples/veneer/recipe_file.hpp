// SPDX-License-Identifier: Apache-2.0
/// \file recipe_file.hpp
/// read_recipe: the YAML of a recipe, one mapping of keys to scalars, or to lists of scalars.
///
///     method: lora               # values are texts; the flag of the key parses the number, the name, the boolean
///     lr: 2e-4
///     targets: [q_proj, v_proj]
///
/// Other features of YAML are errors: deeper nesting, anchors, aliases, tags, a second document, duplicate keys. The
/// parser gives events, so that nesting is refused early and no tree is built.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "veneer/core/error.hpp"
#include "veneer/io/utf8.hpp"

namespace veneer::program {

/// The errors in the form of a recipe.
enum class RecipeReason {
  too_large,          // over 1 MiB
  utf8,               // ill-formed bytes
  control_character,  // other than tab and the ends of lines
  yaml,               // an error of the parser
  empty,              // no key at all
  not_a_mapping,      //
  bad_key,            // a list, a mapping or no text as a key
  duplicate_key,      //
  no_value,           // empty, ~ or null
  nested,             // a mapping as a value, a list in a list
  anchor,             // &name, *name
  tag,                // !!str
  several_documents,  //
};

inline std::string_view to_string(RecipeReason reason) {
  constexpr std::array<std::string_view, 13> names{
      "too_large",     "utf8",    "control_character", "yaml",     "empty",
      "not_a_mapping", "bad_key", "duplicate_key",     "no_value", "nested",
      "anchor",        "tag",     "several_documents"};
  return names[static_cast<std::size_t>(reason)];
}

/// An invalid recipe; `line` is counted from 1, 0 is the whole file.
struct RecipeError : FormatError {
  RecipeError(RecipeReason why, const std::string& file, std::size_t where, const std::string& message)
      : FormatError(file + (where > 0 ? ": line " + std::to_string(where) : "") + ": " + message),
        reason(why),
        line(where) {}
  RecipeReason reason;
  std::size_t line;
};

/// A key and its value as written in the file, without quotes.
struct RecipeEntry {
  std::string key;
  std::vector<std::string> values;  // one, unless it is a list
  bool list = false;
  std::size_t line = 0;  // of the key

  friend bool operator==(const RecipeEntry&, const RecipeEntry&) = default;
};

namespace recipe {

/// A receiver of the parser's events; throws at the first one that a recipe can't have.
class RecipeEvents final : public YAML::EventHandler {
 public:
  explicit RecipeEvents(const std::string& name) : name_(name) {}

  std::vector<RecipeEntry> take() { return std::move(entries_); }

  /// Returns the line of the last key.
  std::size_t last_line() const { return entries_.empty() ? 1 : entries_.back().line; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) fail(RecipeReason::several_documents, mark, "a second document begins; expected one");
  }
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    fail(RecipeReason::anchor, mark, "&" + printable(name, 40) + " is an anchor; write the value where it is needed");
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    fail(RecipeReason::anchor, mark, "found an alias (*name); write the value itself");
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    if (place_ == Place::root) return;  // an empty document, without a key
    if (place_ == Place::key) fail(RecipeReason::bad_key, mark, "found no key before the colon; expected a name");
    if (place_ == Place::list) fail(RecipeReason::no_value, mark, in_key() + "an item of the list has no value");
    throw RecipeError(RecipeReason::no_value, name_, entries_.back().line,
                      in_key() + "has no value; give one, or leave the key out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    if (place_ == Place::root) fail_root(mark, "\"" + printable(value, 40) + "\"");
    if (place_ == Place::key) return begin_entry(mark, value);
    if (value.find('\0') != std::string::npos || find_invalid_utf8(value))
      fail(RecipeReason::control_character, mark, in_key() + "an escape stands for no character of a text");
    entries_.back().values.push_back(value);
    if (place_ == Place::value) place_ = Place::key;
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    if (place_ == Place::root) fail_root(mark, "a list");
    if (place_ == Place::key) fail(RecipeReason::bad_key, mark, "found a list for a key; expected a name");
    if (place_ == Place::list) fail(RecipeReason::nested, mark, in_key() + "found a list in a list");
    entries_.back().list = true;
    place_ = Place::list;
  }
  void OnSequenceEnd() override { place_ = Place::key; }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    if (place_ == Place::key) fail(RecipeReason::bad_key, mark, "found a mapping for a key; expected a name");
    if (place_ != Place::root)
      fail(RecipeReason::nested, mark,
           in_key() + "found a mapping, or a bracket left open; expected a value, or a list of values");
    place_ = Place::key;
  }
  void OnMapEnd() override {}

 private:
  enum class Place { root, key, value, list };

  [[noreturn]] void fail(RecipeReason reason, const YAML::Mark& mark, const std::string& message) const {
    throw RecipeError(reason, name_, static_cast<std::size_t>(mark.line) + 1, message);
  }

  [[noreturn]] void fail_root(const YAML::Mark& mark, const std::string& found) const {
    fail(RecipeReason::not_a_mapping, mark, "found " + found + ", expected lines of KEY: VALUE");
  }

  /// Throws for a tag. The parser reports "?" for plain and "!" for quoted text.
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    fail(RecipeReason::tag, mark, "found the tag " + printable(tag, 40) + "; expected the value alone");
  }

  std::string in_key() const { return "\"" + printable(entries_.back().key, 40) + "\": "; }

  void begin_entry(const YAML::Mark& mark, const std::string& key) {
    const std::size_t line = static_cast<std::size_t>(mark.line) + 1;
    const auto [same, added] = lines_.emplace(key, line);
    if (!added)
      fail(RecipeReason::duplicate_key, mark,
           "\"" + printable(key, 40) + "\" is given twice, first on line " + std::to_string(same->second));
    entries_.push_back({key, {}, false, line});
    place_ = Place::value;
  }

  const std::string& name_;
  std::vector<RecipeEntry> entries_;
  std::unordered_map<std::string, std::size_t> lines_;  // of the keys
  Place place_ = Place::root;
  int documents_ = 0;
};

/// Throws for bytes that mislead the parser: it guesses encodings from zero bytes, and counts lines by line feeds.
inline void check_recipe_bytes(std::string_view text, const std::string& name) {
  constexpr std::size_t limit = std::size_t{1} << 20;
  if (text.size() > limit)
    throw RecipeError(RecipeReason::too_large, name, 0, std::to_string(text.size()) + " bytes, at most 1 MiB is read");
  const auto line_of = [&](std::size_t at) {
    return 1 + static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  if (const auto bad = find_invalid_utf8(text))
    throw RecipeError(RecipeReason::utf8, name, line_of(*bad), "the bytes are not UTF-8: save the file as UTF-8");
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool ends_line = byte == '\n' || (byte == '\r' && at + 1 < text.size() && text[at + 1] == '\n');
    if (byte >= 0x20 && byte != 0x7F) continue;
    if (byte == '\t' || ends_line) continue;
    throw RecipeError(RecipeReason::control_character, name, line_of(at),
                      "found the character " + printable(text.substr(at, 1)) + "; expected text");
  }
}

}  // namespace recipe

/// Returns the entries of a recipe in their order. `name` is the name of the file in messages.
/// \throws RecipeError
inline std::vector<RecipeEntry> read_recipe(std::string_view text, const std::string& name) {
  recipe::check_recipe_bytes(text, name);
  recipe::RecipeEvents events(name);
  try {
    // The parser accepts the end of the file as the end of an open quote, but not the end of a document.
    std::istringstream stream(std::string(text) + (text.ends_with('\n') ? "...\n" : "\n...\n"));
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const YAML::Exception& error) {
    const auto ends = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    const std::size_t lines = ends + (text.ends_with('\n') ? 0 : 1);
    const std::size_t line = error.mark.is_null() ? 0 : static_cast<std::size_t>(error.mark.line) + 1;
    if (line > lines)
      throw RecipeError(RecipeReason::yaml, name, events.last_line(), "not YAML: a quote or a bracket is left open");
    throw RecipeError(RecipeReason::yaml, name, line, "not YAML: " + error.msg);
  }
  std::vector<RecipeEntry> entries = events.take();
  if (entries.empty()) throw RecipeError(RecipeReason::empty, name, 0, "holds no key; expected lines of KEY: VALUE");
  return entries;
}

}  // namespace veneer::program
