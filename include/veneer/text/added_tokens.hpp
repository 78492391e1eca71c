// SPDX-License-Identifier: Apache-2.0
/// \file added_tokens.hpp
/// AddedTokenSet: tokens in addition to the model's vocabulary, which are matched in the text before any other step.
///
/// At each position, from left to right, the longest matching token is extracted. `lstrip` and `rstrip` include the
/// white space on that side; a `single_word` token matches only between characters that are not word characters.
/// `normalized` tokens are matched in the normalized rest, by their normalized text. `special` tokens can be left as
/// text, so that the text of a user cannot end a turn.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/normalize.hpp"
#include "veneer/text/unicode.hpp"

namespace veneer {

/// One entry of `added_tokens` in tokenizer.json.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
  bool special = false;
};

/// A set of tokens as a byte trie, with longest-match search.
class AddedTokenSet {
 public:
  /// Adds `token` under `text`, its content or the normalized form of it; of two with the same text the first is kept.
  void add(const AddedToken& token, std::string_view text) {
    std::size_t node = 0;
    for (const char byte : text) {
      auto& children = nodes_[node].children;
      const auto found =
          std::find_if(children.begin(), children.end(), [&](const auto& child) { return child.first == byte; });
      if (found != children.end()) {
        node = found->second;
      } else {
        const std::size_t made = nodes_.size();
        children.emplace_back(byte, made);
        nodes_.emplace_back();
        node = made;
      }
    }
    if (node == 0 || nodes_[node].token != none) return;
    nodes_[node].token = tokens_.size();
    tokens_.push_back(token);
    begins_[static_cast<unsigned char>(text.front())] = true;
  }

  bool empty() const { return tokens_.empty(); }

  /// Splits `text`: calls `emit(piece, token)` for its parts in order, with a null `token` for ordinary text. A special
  /// token is left in the text if `takes(begin, end)` returns so for its bytes.
  template <class Takes, class Emit>
  void cut(std::string_view text, const Takes& takes, const Emit& emit) const {
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Match match = begins_[static_cast<unsigned char>(text[at])] ? longest(text, at) : Match{};
      if (match.token == nullptr) {
        ++at;
        continue;
      }
      const AddedToken& token = *match.token;
      std::size_t begin = at;
      std::size_t end = at + match.length;
      at = end;  // a token that is not used still hides those inside it
      if (token.special && !takes(begin, end)) continue;
      if (token.single_word && !stands_alone(text, begin, end)) continue;
      if (token.lstrip) {  // white space taken by the previous token is not taken again
        begin = std::max(begin, done);
        while (begin > done && is_white_space(code_point_before(text, begin).value)) {
          begin -= code_point_before(text, begin).length;
        }
      }
      if (token.rstrip) {
        while (end < text.size() && is_white_space(decode_utf8(text, end).value)) end += decode_utf8(text, end).length;
      }
      if (begin >= end) continue;
      if (begin > done) emit(text.substr(done, begin - done), static_cast<const AddedToken*>(nullptr));
      emit(text.substr(begin, end - begin), &token);
      done = end;
    }
    if (done < text.size()) emit(text.substr(done), static_cast<const AddedToken*>(nullptr));
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  struct Node {
    std::vector<std::pair<char, std::size_t>> children;
    std::size_t token = none;
  };
  struct Match {
    const AddedToken* token = nullptr;
    std::size_t length = 0;
  };

  Match longest(std::string_view text, std::size_t at) const {
    Match best;
    std::size_t node = 0;
    for (std::size_t i = at; i < text.size(); ++i) {
      const auto& children = nodes_[node].children;
      const auto found =
          std::find_if(children.begin(), children.end(), [&](const auto& child) { return child.first == text[i]; });
      if (found == children.end()) break;
      node = found->second;
      if (nodes_[node].token != none) best = {&tokens_[nodes_[node].token], i + 1 - at};
    }
    return best;
  }

  static bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin == 0 || !is_word_character(code_point_before(text, begin).value)) &&
           (end == text.size() || !is_word_character(decode_utf8(text, end).value));
  }

  std::vector<Node> nodes_{1};
  std::vector<AddedToken> tokens_;
  std::array<bool, 256> begins_{};  // whether any token begins with the byte
};

}  // namespace veneer
