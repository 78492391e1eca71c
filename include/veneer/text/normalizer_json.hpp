// SPDX-License-Identifier: Apache-2.0
/// \file normalizer_json.hpp
/// Reads the `normalizer` of a tokenizer.json: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace,
/// or a Sequence of them.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/text/component_json.hpp"
#include "veneer/text/normalizers.hpp"
#include "veneer/text/piece_text.hpp"

namespace veneer::detail {

class NormalizerReader : ComponentReader {
 public:
  explicit NormalizerReader(const TokenizerFile& file) : ComponentReader(file) {}

  std::vector<Normalizer> read() const {
    std::vector<Normalizer> steps;
    const Json* const found = find_json(root(), key);
    if (is_absent(found)) return steps;
    each_component(*found, key, "normalizers",
                   [&](const Json& one, const std::string& type) { steps.push_back(step(one, type)); });
    fuse_marks(steps);
    return steps;
  }

 private:
  inline static const std::string key = "normalizer";

  Normalizer step(const Json& one, const std::string& type) const {
    for (const auto& [name, form] : {std::pair{"NFC", NormalForm::nfc}, std::pair{"NFD", NormalForm::nfd},
                                     std::pair{"NFKC", NormalForm::nfkc}, std::pair{"NFKD", NormalForm::nfkd}}) {
      if (type != name) continue;
      only(one, key, {"type"});
      return normalizers::UnicodeForm{form};
    }
    if (type == "Lowercase" || type == "StripAccents") {
      only(one, key, {"type"});
      return type == "Lowercase" ? Normalizer(normalizers::Lowercase{}) : Normalizer(normalizers::StripAccents{});
    }
    if (type == "Strip") {
      only(one, key, {"type", "strip_left", "strip_right"});
      return normalizers::Strip{flag(one, "strip_left", key), flag(one, "strip_right", key)};
    }
    if (type == "Prepend") {
      only(one, key, {"type", "prepend"});
      return normalizers::Prepend{text(one, "prepend", key)};
    }
    if (type == "Replace") {
      only(one, key, {"type", "pattern", "content"});
      return normalizers::Replace{pattern(one, key), text(one, "content", key)};
    }
    fail(Reason::unsupported_normalizer, key,
         "the normalizer \"" + printable(type) +
             "\" is not supported; supported: NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, "
             "Sequence");
  }

  /// Fuses a last Replace of spaces by "▁", with or without a preceding Prepend of "▁", into one pass over the text.
  static void fuse_marks(std::vector<Normalizer>& steps) {
    if (steps.empty()) return;
    const auto* const replace = std::get_if<normalizers::Replace>(&steps.back());
    const auto* const spaces = replace == nullptr ? nullptr : std::get_if<std::string>(&replace->pattern);
    if (spaces == nullptr || *spaces != " " || replace->content != piece_space) return;
    steps.pop_back();
    const auto* const prepend = steps.empty() ? nullptr : std::get_if<normalizers::Prepend>(&steps.back());
    const bool prefix = prepend != nullptr && prepend->content == piece_space;
    if (prefix) steps.pop_back();
    steps.push_back(normalizers::MarkSpaces{prefix});
  }
};

}  // namespace veneer::detail
