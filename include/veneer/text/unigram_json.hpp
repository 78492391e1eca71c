// SPDX-License-Identifier: Apache-2.0
/// \file unigram_json.hpp
/// Reads a `model` of type Unigram in a tokenizer.json.
///
///     vocab     [["piece", log-probability], ...]; the id of a piece is its index
///     unk_id    the id of text without a piece, or null
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "veneer/text/tokenizer_file.hpp"
#include "veneer/text/unigram_model.hpp"

namespace veneer::detail {

class UnigramReader : TokenizerFile {
 public:
  explicit UnigramReader(const TokenizerFile& file) : TokenizerFile(file) {}

  UnigramModel read(const Json& model) const {
    only(model, "model", {"type", "vocab", "unk_id", "byte_fallback"});
    const Json& vocab = list(model, "vocab", "model");
    if (vocab.empty()) fail(Reason::empty_vocab, "model.vocab", "holds no token");
    UnigramModel::Pieces pieces;
    pieces.reserve(vocab.size());
    for (const Json& entry : vocab) pieces.push_back(read_piece(entry, pieces.size()));
    std::optional<std::int32_t> unknown;
    if (const Json* const found = find_json(model, "unk_id"); !is_absent(found)) {
      unknown = id(*found, "model.unk_id");
      if (static_cast<std::size_t>(*unknown) >= pieces.size())
        fail(Reason::missing_unk, "model.unk_id",
             "is " + std::to_string(*unknown) + ", and there are " + std::to_string(pieces.size()) + " pieces");
    }
    return UnigramModel(pieces, unknown, flag_or(model, "byte_fallback", "model", false));
  }

 private:
  std::pair<std::string, double> read_piece(const Json& entry, std::size_t number) const {
    const std::string key = "model.vocab[" + std::to_string(number) + "]";
    const bool good = entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    expect(good, key, entry, "a text and a number");
    const std::string& text = entry[0].get_ref<const std::string&>();
    if (text.size() > longest_token)
      fail(Reason::too_large, key, "is longer than " + std::to_string(longest_token) + " bytes");
    if (!std::isfinite(entry[1].get<double>())) fail(Reason::wrong_type, key, "expected a finite number");
    return {text, rounded_twice(entry[1].get<double>())};
  }

  /// Returns the number as parsed by the tokenizers library: decimal digits as an integer, multiplied or divided by a
  /// power of ten, so that the last bit may differ. This bit decides between segmentations of equal score. Uses the
  /// shortest digits of `value`, which are those in files.
  static double rounded_twice(double value) {
    std::array<char, 32> text{};
    const char* const end =
        std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::scientific).ptr;
    std::uint64_t digits = 0;
    int exponent = 0;
    const char* at = text.data();
    for (bool fraction = false; at != end && *at != 'e'; ++at) {
      if (*at == '.') fraction = true;
      if (*at < '0' || *at > '9') continue;
      digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
      exponent -= fraction ? 1 : 0;
    }
    int power = 0;
    const char* const number = at + (at != end && at[1] == '+' ? 2 : 1);
    std::from_chars(number, end, power);
    exponent += power;
    double result = static_cast<double>(digits);
    if (exponent < -308) {
      result /= 1e308;
      exponent += 308;
    }
    const double scale = power_of_ten(exponent < 0 ? -exponent : exponent);
    result = exponent < 0 ? result / scale : result * scale;
    return value < 0 ? -result : result;
  }

  /// Returns 10^exponent, rounded once.
  static double power_of_ten(int exponent) {
    const std::string text = "1e" + std::to_string(exponent);
    double value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
};

}  // namespace veneer::detail
