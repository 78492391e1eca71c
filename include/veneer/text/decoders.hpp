// SPDX-License-Identifier: Apache-2.0
/// \file decoders.hpp
/// The decoders of a tokenizer.json, which convert tokens to text; the results of each are the tokens of the next.
///
///     ByteLevel          a token is bytes, one per character; all tokens are joined to one
///     ByteFallback       <0x0A> is a byte; a run of them is a token
///     Fuse               all tokens are joined to one
///     Strip              removes a number of characters at the ends of each token
///     Replace            replaces a string or an expression by a string
///     Metaspace          "▁" is a space, or nothing in the first token
///     WordSuffix         the suffix of a word's last token is a space
///     LeadingMark        removes the "▁" that sentencepiece prepends to a text
///     JoinBySpaces       the default without a decoder
///
/// Tokens are passed one at a time. A token may be passed in parts if the whole text is one token: `push(part, last,
/// next)` and `finish(next)` call `next(part, last)`. Bytes need not be whole characters. In a whole text ill-formed
/// parts become U+FFFD: for joined bytes one per maximal part (Unicode 15.0, section 3.9), for a run of byte tokens one
/// per byte, or, as in Hugging Face's decoder, one for each byte of a run that is not UTF-8 as a whole.
///
/// In eager mode, for text that is printed while it is generated, only incomplete characters are held back. A run of
/// bytes that turns out to be ill-formed is then already printed up to that position, and has fewer U+FFFD than in
/// the whole text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/byte_level.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/text_pattern.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

namespace detail {

/// A buffer that joins the parts of a token.
class WholeToken {
 public:
  /// Returns the token, after its last part was added.
  std::optional<std::string_view> add(std::string_view part, bool last) {
    if (fresh_ && last) return part;
    if (fresh_) held_.clear();
    fresh_ = last;
    held_.append(part);
    return last ? std::optional<std::string_view>(held_) : std::nullopt;
  }

 private:
  std::string held_;
  bool fresh_ = true;
};

/// Returns `text` with each `from` replaced by `to`: `text` itself, or a view of `buffer`.
inline std::string_view replace_all(std::string_view text, std::string_view from, std::string_view to,
                                    std::string& buffer) {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {  // tokens are too short for a call of a search function
    if (text[at] != from.front() || !text.substr(at).starts_with(from)) {
      ++at;
      continue;
    }
    if (done == 0) buffer.clear();
    buffer.append(text.substr(done, at - done)).append(to);
    done = at += from.size();
  }
  return done == 0 ? text : buffer.append(text.substr(done));
}

}  // namespace detail

namespace decoders {

class ByteLevel {
 public:
  bool eager = false;

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    const auto token = whole_.add(part, last);
    if (!token) return;
    append_token_bytes(bytes_, *token);
    if (!eager) return;
    std::string text;
    bytes_.erase(0, append_lossy(text, bytes_, true));
    next(text, false);
  }

  template <class Next>
  void finish(const Next& next) {
    std::string text;
    append_lossy(text, bytes_);
    bytes_.clear();
    next(text, true);
  }

 private:
  detail::WholeToken whole_;
  std::string bytes_;
};

class ByteFallback {
 public:
  bool whole_runs = true;  // a run that is not UTF-8 becomes U+FFFD for all bytes
  bool eager = false;

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    const auto token = whole_.add(part, last);
    if (!token) return;
    if (const auto byte = byte_of_token(*token)) {
      bytes_ += static_cast<char>(*byte);
      in_run_ = true;
      if (eager) put_complete(next);
      return;
    }
    if (in_run_) finish(next);
    next(*token, true);
  }

  template <class Next>
  void finish(const Next& next) {
    if (!in_run_) return;
    const bool good = !find_invalid_utf8(bytes_);
    if (good || !whole_runs) {
      std::string text;
      for (std::size_t at = 0; at < bytes_.size();) {
        const CodePoint point = decode_utf8(bytes_, at);
        text.append(point.length > 0 ? std::string_view(bytes_).substr(at, point.length) : replacement);
        at += std::max<std::size_t>(1, point.length);
      }
      next(text, true);
    } else {
      for (std::size_t i = 0; i < bytes_.size(); ++i) next(replacement, true);
    }
    bytes_.clear();
    in_run_ = false;
  }

 private:
  static constexpr std::string_view replacement = "\xEF\xBF\xBD";

  /// Emits the complete characters at the front of the run, and U+FFFD for each maximal ill-formed part.
  template <class Next>
  void put_complete(const Next& next) {
    std::string text;
    bytes_.erase(0, append_lossy(text, bytes_, true));
    next(text, false);
  }

  detail::WholeToken whole_;
  std::string bytes_;
  bool in_run_ = false;
};

class Fuse {
 public:
  template <class Next>
  void push(std::string_view part, bool, const Next& next) const {
    next(part, false);
  }
  template <class Next>
  void finish(const Next& next) const {
    next(std::string_view(), true);
  }
};

class Strip {
 public:
  /// \param content  one character
  Strip(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop), left_(start) {}

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    while (left_ > 0 && !part.empty()) {
      const bool strip = part.starts_with(content_);
      left_ = strip ? left_ - 1 : 0;
      if (strip) part.remove_prefix(content_.size());
    }
    if (last) left_ = start_;
    if (stop_ == 0) return next(part, last);
    held_.append(part);
    std::size_t keep = held_.size(), run = 0;
    while (run < stop_ && std::string_view(held_).substr(0, keep).ends_with(content_)) keep -= content_.size(), ++run;
    const std::string text = held_.substr(0, keep);
    held_.erase(0, last ? held_.size() : keep);
    next(text, last);
  }

  template <class Next>
  void finish(const Next&) {}

 private:
  std::string content_;
  std::size_t start_, stop_;
  std::size_t left_;  // characters to remove at the start of this token
  std::string held_;  // characters that may be the end of the token
};

class Replace {
 public:
  Replace(TextPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)), parts_do_(is_one_character(pattern_)) {}

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    if (parts_do_) return next(detail::replace_all(part, *std::get_if<std::string>(&pattern_), content_, text_), last);
    std::string text;
    const auto token = whole_.add(part, last);
    if (!token) return;
    if (!token->empty()) {
      detail::MatchScratch scratch;
      each_part(pattern_, *token, scratch, [&](ByteRange bytes, bool is_match) {
        text.append(is_match ? std::string_view(content_) : token->substr(bytes.begin, bytes.end - bytes.begin));
      });
    }
    next(text, true);
  }

  template <class Next>
  void finish(const Next&) {}

 private:
  static bool is_one_character(const TextPattern& pattern) {
    const std::string* const text = std::get_if<std::string>(&pattern);
    return text != nullptr && decode_utf8(*text, 0).length == text->size();
  }

  TextPattern pattern_;
  std::string content_;
  std::string text_;  // of one part
  bool parts_do_;
  detail::WholeToken whole_;
};

class Metaspace {
 public:
  Metaspace(std::string mark, bool prefix) : mark_(std::move(mark)), prefix_(prefix) {}

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    std::string buffer;
    const std::string_view text = detail::replace_all(part, mark_, first_ && prefix_ ? "" : " ", buffer);
    if (last) first_ = false;
    next(text, last);
  }

  template <class Next>
  void finish(const Next&) {
    first_ = true;
  }

 private:
  std::string mark_;
  bool prefix_;
  bool first_ = true;
};

class WordSuffix {
 public:
  explicit WordSuffix(std::string suffix) : suffix_(std::move(suffix)) {}

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    const auto token = whole_.add(part, last);
    if (!token) return;
    put(" ", next);
    waiting_ = *token;
  }

  template <class Next>
  void finish(const Next& next) {
    put("", next);
    waiting_.reset();
  }

 private:
  template <class Next>
  void put(std::string_view end, const Next& next) const {
    if (!waiting_) return;
    std::string buffer;
    next(detail::replace_all(*waiting_, suffix_, end, buffer), true);
  }

  std::string suffix_;
  detail::WholeToken whole_;
  std::optional<std::string> waiting_;  // held until another token follows, after which it is not the last
};

class LeadingMark {
 public:
  /// \param each  remove the mark of each token until there is text
  explicit LeadingMark(bool each) : each_(each) {}

  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    if (at_start_ && part.starts_with(piece_space)) {
      part.remove_prefix(piece_space.size());
      at_start_ = each_;
    }
    if (!part.empty()) at_start_ = false;
    next(part, last);
  }

  template <class Next>
  void finish(const Next&) {
    at_start_ = true;
  }

 private:
  bool each_;
  bool at_start_ = true;  // no text yet
};

class JoinBySpaces {
 public:
  template <class Next>
  void push(std::string_view part, bool last, const Next& next) {
    if (!first_ && begins_) next(std::string_view(" "), false);
    begins_ = last;
    first_ = false;
    next(part, last);
  }

  template <class Next>
  void finish(const Next&) {
    first_ = begins_ = true;
  }

 private:
  bool first_ = true, begins_ = true;
};

}  // namespace decoders

using Decoder =
    std::variant<decoders::ByteLevel, decoders::ByteFallback, decoders::Fuse, decoders::Strip, decoders::Replace,
                 decoders::Metaspace, decoders::WordSuffix, decoders::LeadingMark, decoders::JoinBySpaces>;

}  // namespace veneer
