// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_json.hpp
/// Writes a byte-level BPE as Hugging Face's `tokenizer.json`, in the layout of the `tokenizers` library.
///
/// As in Llama 3's own file: Split by expression, then ByteLevel without one; `ignore_merges`; BOS prepended by a
/// TemplateProcessing. Tokens are written in GPT-2's alphabet, one character per byte: visible bytes unchanged, the
/// others as U+0100, U+0101, ... in ascending order (a space is `Ġ`).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pretrain/bpe_encoder.hpp"
#include "pretrain/json_text.hpp"
#include "pretrain/pieces.hpp"

namespace veneer::pretrain {

inline constexpr std::string_view begin_of_text_name = "<|begin_of_text|>";
inline constexpr std::string_view end_of_text_name = "<|end_of_text|>";

/// Returns the character of a byte in GPT-2's alphabet, as UTF-8.
inline std::string byte_symbol(unsigned char byte) {
  constexpr std::size_t visible_count = 188;
  const auto place = static_cast<std::size_t>(byte_ids()[byte] - first_byte_id);
  const std::size_t point = place < visible_count ? byte : 0x100 + place - visible_count;
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(static_cast<unsigned char>(0xC0 | point >> 6)),
          static_cast<char>(static_cast<unsigned char>(0x80 | (point & 0x3F)))};
}

/// Returns every token as a JSON string, by id.
inline std::vector<std::string> token_strings(const std::vector<Merge>& merges) {
  std::vector<std::string> strings;
  for (const std::string& bytes : token_bytes(merges)) {
    std::string spelt;
    for (const char byte : bytes) spelt.append(byte_symbol(static_cast<unsigned char>(byte)));
    strings.push_back(json_string(spelt));
  }
  strings[begin_of_text] = json_string(begin_of_text_name);
  strings[end_of_text] = json_string(end_of_text_name);
  return strings;
}

/// Replaces each `$NAME` by its value, once.
inline std::string with_values(std::string text, const Slots& values) {
  for (const Slot& slot : values) {
    const auto place = text.find(slot.name);
    expects(place != std::string::npos, "with_values(text, values): the text names every value");
    text.replace(place, slot.name.size(), slot.value);
  }
  return text;
}

inline std::string special_token_json(TokenId id, std::string_view name) {
  return with_values(R"(    {
      "id": $ID,
      "content": $NAME,
      "single_word": false,
      "lstrip": false,
      "rstrip": false,
      "normalized": false,
      "special": true
    })",
                     {{"$ID", std::to_string(id)}, {"$NAME", json_string(name)}});
}

/// Returns one entry of a TemplateProcessing: a special token or one of the two texts.
inline std::string template_entry_json(std::string_view kind, std::string_view id, int type_id) {
  return with_values(R"(          {
            "$KIND": {
              "id": $ID,
              "type_id": $TYPE
            }
          })",
                     {{"$KIND", std::string(kind)}, {"$ID", json_string(id)}, {"$TYPE", std::to_string(type_id)}});
}

inline std::string post_processor_json() {
  const std::string separator = ",\n";
  const std::string first =
      template_entry_json("SpecialToken", begin_of_text_name, 0) + separator + template_entry_json("Sequence", "A", 0);
  const std::string second =
      template_entry_json("SpecialToken", begin_of_text_name, 1) + separator + template_entry_json("Sequence", "B", 1);
  return with_values(R"({
    "type": "Sequence",
    "processors": [
      {
        "type": "ByteLevel",
        "add_prefix_space": true,
        "trim_offsets": false,
        "use_regex": true
      },
      {
        "type": "TemplateProcessing",
        "single": [
$SINGLE
        ],
        "pair": [
$PAIR
        ],
        "special_tokens": {
          $KEY: {
            "id": $NAME,
            "ids": [
              $ID
            ],
            "tokens": [
              $TOKEN
            ]
          }
        }
      }
    ]
  })",
                     {{"$SINGLE", first},
                      {"$PAIR", first + separator + second},
                      {"$KEY", json_string(begin_of_text_name)},
                      {"$NAME", json_string(begin_of_text_name)},
                      {"$ID", std::to_string(begin_of_text)},
                      {"$TOKEN", json_string(begin_of_text_name)}});
}

inline std::string vocabulary_json(const std::vector<std::string>& tokens) {
  std::string text;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    text.append(id == 0 ? "" : ",\n").append("      ").append(tokens[id]).append(": ").append(std::to_string(id));
  }
  return text;
}

inline std::string merges_json(const std::vector<Merge>& merges, const std::vector<std::string>& tokens) {
  std::string text;
  for (const Merge& merge : merges) {
    text.append(text.empty() ? "" : ",\n").append("      [\n        ");
    text.append(tokens[static_cast<std::size_t>(merge.left)]).append(",\n        ");
    text.append(tokens[static_cast<std::size_t>(merge.right)]).append("\n      ]");
  }
  return text;
}

/// Returns the whole file.
inline std::string tokenizer_json(const std::vector<Merge>& merges) {
  const std::vector<std::string> tokens = token_strings(merges);
  return with_values(R"({
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [
$BEGIN,
$END
  ],
  "normalizer": null,
  "pre_tokenizer": {
    "type": "Sequence",
    "pretokenizers": [
      {
        "type": "Split",
        "pattern": {
          "Regex": $EXPRESSION
        },
        "behavior": "Isolated",
        "invert": false
      },
      {
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": false
      }
    ]
  },
  "post_processor": $POST,
  "decoder": {
    "type": "ByteLevel",
    "add_prefix_space": true,
    "trim_offsets": true,
    "use_regex": true
  },
  "model": {
    "type": "BPE",
    "dropout": null,
    "unk_token": null,
    "continuing_subword_prefix": null,
    "end_of_word_suffix": null,
    "fuse_unk": false,
    "byte_fallback": false,
    "ignore_merges": true,
    "vocab": {
$VOCABULARY
    },
    "merges": [
$MERGES
    ]
  }
})",
                     {{"$BEGIN", special_token_json(begin_of_text, begin_of_text_name)},
                      {"$END", special_token_json(end_of_text, end_of_text_name)},
                      {"$EXPRESSION", json_string(llama3_expression)},
                      {"$POST", post_processor_json()},
                      {"$VOCABULARY", vocabulary_json(tokens)},
                      {"$MERGES", merges_json(merges, tokens)}});
}

}  // namespace veneer::pretrain
