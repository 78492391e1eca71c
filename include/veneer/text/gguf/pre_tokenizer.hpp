// SPDX-License-Identifier: Apache-2.0
/// \file pre_tokenizer.hpp
/// gguf_pre_tokenizer: the key tokenizer.ggml.pre. llama.cpp cannot read a pattern from a file; it has a list
/// of named patterns.
///
///   Split (pattern), ByteLevel        the name of the pattern
///   Digits (each), ByteLevel (regex)  smollm
///   ByteLevel (regex)                 gpt-2
/// The name is chosen by the components of tokenizer.json, so custom vocabularies are supported. Some names enable
/// `ignore_merges` (a word that is a token is not built from merges); a tokenizer with another setting is refused.
/// Source: ggml-org/llama.cpp, src/llama-vocab.cpp (`llm_tokenizer_bpe`, `llama_vocab::impl::load`).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/json.hpp"

namespace veneer {

namespace detail {

/// A pattern of llama.cpp and its names with `ignore_merges` off and on; empty if there is none.
struct GgufPattern {
  std::string_view pattern, builds_words, ignores_merges;
};

inline constexpr std::array<GgufPattern, 6> gguf_patterns{
    {{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
      R"(\s+(?!\S)|\s+)",
      "smaug-bpe", "llama-bpe"},
     {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
      R"(\s+(?!\S)|\s+)",
      "qwen2", ""},
     {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)"
      R"(\s*[\r\n]+|\s+(?!\S)|\s+)",
      "qwen35", ""},
     {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
      R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      "", "tekken"},
     {R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      "gpt-4o", ""},
     {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "gpt-2", ""}}};

[[noreturn]] inline void refuse_gguf_tokenizer(const std::string& where, const std::string& what) {
  throw FormatError(where + ": cannot be exported to GGUF: " + what +
                    ". export --to merged writes a folder for tools that read tokenizer.json itself");
}

/// Returns the value of a key as text; empty if there is none.
inline std::string json_word(const Json& object, const char* key) {
  const Json* found = object.is_object() ? find_json(object, key) : nullptr;
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}
inline bool json_flag(const Json& object, const char* key, bool otherwise) {
  const Json* found = object.is_object() ? find_json(object, key) : nullptr;
  return found != nullptr && found->is_boolean() ? found->get<bool>() : otherwise;
}
/// Returns the value of a key, or null if it is absent or null.
inline const Json* json_present(const Json& object, const char* key) {
  const Json* found = object.is_object() ? find_json(object, key) : nullptr;
  return found == nullptr || found->is_null() ? nullptr : found;
}

/// Returns a component, or the parts of a Sequence.
inline std::vector<const Json*> json_steps(const Json* component, const char* parts) {
  if (component == nullptr) return {};
  const Json* list = json_present(*component, parts);
  if (json_word(*component, "type") != "Sequence" || list == nullptr) return {component};
  std::vector<const Json*> steps;
  for (const Json& step : *list) steps.push_back(&step);
  return steps;
}

/// Returns the pattern of a Split that keeps all of the text, or nullopt.
inline std::optional<std::string> split_regex(const Json& step) {
  if (json_word(step, "type") != "Split") return std::nullopt;
  const std::string behavior = json_word(step, "behavior");
  const bool inverted = json_flag(step, "invert", false);
  const Json* pattern = json_present(step, "pattern");
  const std::string regex = pattern == nullptr ? std::string() : json_word(*pattern, "Regex");
  const bool keeps = (behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted);
  return keeps && !regex.empty() ? std::optional(regex) : std::nullopt;
}

/// Returns the names for a list of components, or nullopt.
inline std::optional<GgufPattern> find_gguf_pattern(const std::vector<const Json*>& steps) {
  if (steps.empty() || json_word(*steps.back(), "type") != "ByteLevel") return std::nullopt;
  const Json& bytes = *steps.back();
  if (json_flag(bytes, "add_prefix_space", true)) return std::nullopt;
  const bool own_regex = json_flag(bytes, "use_regex", true);
  if (steps.size() == 1) return own_regex ? std::optional(gguf_patterns.back()) : std::nullopt;
  if (steps.size() != 2) return std::nullopt;
  const Json& first = *steps.front();
  if (json_word(first, "type") == "Digits" && own_regex && json_flag(first, "individual_digits", false))
    return GgufPattern{"", "smollm", ""};
  const auto regex = split_regex(first);
  if (!regex || own_regex) return std::nullopt;
  for (const GgufPattern& known : gguf_patterns)
    if (*regex == known.pattern) return known;
  return std::nullopt;
}

}  // namespace detail

/// Returns the name with which llama.cpp splits text like this byte-level tokenizer.json.
/// \throws FormatError with the components when there is none
inline std::string gguf_pre_tokenizer(const Json& tokenizer, const std::string& where) {
  const Json* pre = detail::json_present(tokenizer, "pre_tokenizer");
  const auto found = detail::find_gguf_pattern(detail::json_steps(pre, "pretokenizers"));
  if (!found) {
    detail::refuse_gguf_tokenizer(
        where, "llama.cpp splits text by a list of known patterns, and this pre_tokenizer is not one of them: " +
                   (pre == nullptr ? std::string("null") : dump_python(*pre)));
  }
  const Json* model = detail::json_present(tokenizer, "model");
  const bool ignores = model != nullptr && detail::json_flag(*model, "ignore_merges", false);
  const std::string name(ignores ? found->ignores_merges : found->builds_words);
  if (name.empty()) {
    detail::refuse_gguf_tokenizer(
        where, std::string("\"ignore_merges\" is ") + (ignores ? "true" : "false") +
                   ", and llama.cpp has this pattern only with the other value: " + dump_python(*pre));
  }
  return name;
}

}  // namespace veneer
