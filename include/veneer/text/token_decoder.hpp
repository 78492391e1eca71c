// SPDX-License-Identifier: Apache-2.0
/// \file token_decoder.hpp
/// Tokens to text, one after the other.
///
///     byte level       a token is bytes, a character each; all of them joined are the text
///     sentencepiece    "▁" is a space, <0x0A> a byte; the space that was put in front of the text is taken away
///                      (of text, as Hugging Face's decoder does, or of tokens, as sentencepiece does)
///
/// Bytes need not be whole characters. Of a whole text, ill-formed parts become U+FFFD: of bytes that were joined one
/// for each maximal part (Unicode 15.0, section 3.9), of a run of byte tokens one for each byte, or, as Hugging Face's
/// decoder does, for all bytes of a run that is not UTF-8 from end to end.
///
/// Eagerly, for text that is printed as it comes, only half a character waits for its rest. A run of bytes that turns
/// out to be ill-formed was then printed up to that place, and shows fewer U+FFFD than the whole text would.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/byte_level.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// What is taken away at the start of a text.
enum class LeadingMark {
  none,
  spaces,  // so many spaces as `leading_spaces` says
  first,   // the "▁" of the first token, if it begins with one
  each,    // the same of each token until there is text
};

/// How the tokens of a vocabulary are read.
struct DecodeRules {
  bool pieces = false;       // sentencepiece; else byte level
  bool byte_tokens = false;  // <0x0A> is a byte
  bool whole_runs = false;   // a run of bytes that is not UTF-8 is U+FFFD throughout
  LeadingMark leading = LeadingMark::none;
  std::size_t leading_spaces = 0;
};

class TokenDecoder {
 public:
  TokenDecoder() = default;
  TokenDecoder(const DecodeRules& rules, bool eager) : rules_(rules), eager_(eager) { begin(); }

  /// Appends to `out` what a further token makes certain.
  void push(std::string_view token, std::string& out) {
    if (!rules_.pieces) {
      append_token_bytes(bytes_, token);
      if (eager_) bytes_.erase(0, append_lossy(out, bytes_, true));
      return;
    }
    const auto byte = rules_.byte_tokens ? byte_of_token(token) : std::nullopt;
    if (byte) {
      bytes_ += static_cast<char>(*byte);
      if (eager_) put_complete(out);
      return;
    }
    end_run(out);
    const bool marked = at_start_ && token.starts_with(piece_space);
    if (marked && (rules_.leading == LeadingMark::first || rules_.leading == LeadingMark::each)) {
      token.remove_prefix(piece_space.size());
      if (rules_.leading == LeadingMark::first) at_start_ = false;
    }
    piece_.clear();
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t space = std::min(token.find(piece_space, at), token.size());
      piece_.append(token.substr(at, space - at));
      if (space < token.size()) piece_ += ' ';
      at = space + piece_space.size();
    }
    put(piece_, out);
  }

  /// Appends what still waits: nothing, or U+FFFD for what never became a character. A new text begins.
  void finish(std::string& out) {
    if (rules_.pieces) {
      end_run(out);
    } else {
      append_lossy(out, bytes_);
    }
    begin();
  }

 private:
  void begin() {
    bytes_.clear();
    at_start_ = true;
    leading_ = rules_.leading == LeadingMark::spaces ? rules_.leading_spaces : 0;
  }

  void put(std::string_view text, std::string& out) {
    if (!text.empty()) at_start_ = false;
    while (leading_ > 0 && !text.empty()) {
      leading_ = text.front() == ' ' ? leading_ - 1 : 0;
      if (text.front() == ' ') text.remove_prefix(1);
    }
    out.append(text);
  }

  /// The characters at the front of the run that are whole; of what can't become one, U+FFFD for each maximal part.
  void put_complete(std::string& out) {
    std::string text;
    bytes_.erase(0, append_lossy(text, bytes_, true));
    put(text, out);
  }

  void end_run(std::string& out) {
    if (bytes_.empty()) return;
    std::string text;
    if (find_invalid_utf8(bytes_)) {
      for (std::size_t at = 0; at < bytes_.size();) {
        const CodePoint point = decode_utf8(bytes_, at);
        const bool good = point.length > 0 && !rules_.whole_runs;
        text.append(good ? std::string_view(bytes_).substr(at, point.length) : std::string_view("\xEF\xBF\xBD"));
        at += good ? point.length : 1;
      }
    } else {
      text = bytes_;
    }
    bytes_.clear();
    put(text, out);
  }

  DecodeRules rules_;
  bool eager_ = false;
  bool at_start_ = true;     // no text yet
  std::size_t leading_ = 0;  // spaces to take away
  std::string bytes_;        // that are no characters yet
  std::string piece_;
};

}  // namespace veneer
