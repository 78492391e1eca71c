// SPDX-License-Identifier: Apache-2.0
/// \file bpe_encoder.hpp
/// Byte-level byte-pair encoding with a list of merges: text to token ids.
///
///   ids   0 <|begin_of_text|>   1 <|end_of_text|>   2..257 the bytes in GPT-2's order   258 + k the k-th merge
///
/// GPT-2's order: the bytes that are visible characters (`!`..`~`, 0xA1..0xAC, 0xAE..0xFF), then the
/// others. Within a piece the pair of the earliest merge is merged first, leftmost first among equals
/// (Sennrich et al., arXiv:1508.07909).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pretrain/document.hpp"
#include "pretrain/pieces.hpp"

namespace veneer::pretrain {

using TokenId = std::int32_t;

inline constexpr TokenId begin_of_text = 0;
inline constexpr TokenId end_of_text = 1;
inline constexpr TokenId first_byte_id = 2;
inline constexpr TokenId first_merge_id = first_byte_id + 256;

/// Two adjacent ids that are merged to one.
struct Merge {
  TokenId left;
  TokenId right;

  friend bool operator==(const Merge&, const Merge&) = default;
};

/// Returns the bytes in the order of their ids.
constexpr std::array<unsigned char, 256> bytes_in_id_order() {
  const auto visible = [](int byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  };
  std::array<unsigned char, 256> bytes{};
  std::size_t count = 0;
  for (const bool wanted : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (visible(byte) == wanted) bytes[count++] = static_cast<unsigned char>(byte);
    }
  }
  return bytes;
}

/// Returns the id of each byte.
constexpr std::array<TokenId, 256> byte_ids() {
  constexpr auto bytes = bytes_in_id_order();
  std::array<TokenId, 256> ids{};
  for (std::size_t i = 0; i < bytes.size(); ++i) ids[bytes[i]] = first_byte_id + static_cast<TokenId>(i);
  return ids;
}

inline std::vector<TokenId> ids_of_bytes(std::string_view text) {
  static constexpr auto ids = byte_ids();
  std::vector<TokenId> symbols;
  symbols.reserve(text.size());
  for (const char byte : text) symbols.push_back(ids[static_cast<unsigned char>(byte)]);
  return symbols;
}

/// Replaces each occurrence of the pair, from left to right, by `joined`.
inline void apply_merge(std::vector<TokenId>& symbols, const Merge& merge, TokenId joined) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const bool here = i + 1 < symbols.size() && symbols[i] == merge.left && symbols[i + 1] == merge.right;
    symbols[kept++] = here ? joined : symbols[i];
    if (here) ++i;
  }
  symbols.resize(kept);
}

/// Returns the bytes of every token, by id; those of the two special tokens are empty.
inline std::vector<std::string> token_bytes(const std::vector<Merge>& merges) {
  std::vector<std::string> tokens(first_byte_id);
  for (const unsigned char byte : bytes_in_id_order()) tokens.emplace_back(1, static_cast<char>(byte));
  for (const Merge& merge : merges) {
    tokens.push_back(tokens.at(static_cast<std::size_t>(merge.left)) +
                     tokens.at(static_cast<std::size_t>(merge.right)));
  }
  return tokens;
}

/// A document as input of a model: `ids` are <bos> prompt completion <eos>; the loss is on ids[first_target ..].
struct EncodedDocument {
  std::vector<TokenId> ids;
  std::size_t first_target;
};

/// An encoder with a cache of pieces. Not thread-safe.
class BytePairEncoder {
 public:
  explicit BytePairEncoder(std::vector<Merge> merges) : merges_(std::move(merges)) {
    for (std::size_t rank = 0; rank < merges_.size(); ++rank) ranks_.emplace(key(merges_[rank]), rank);
  }

  const std::vector<Merge>& merges() const { return merges_; }
  std::size_t vocabulary_size() const { return static_cast<std::size_t>(first_merge_id) + merges_.size(); }

  /// Returns the ids of a text, without special tokens.
  std::vector<TokenId> encode(std::string_view text) {
    std::vector<TokenId> ids;
    splitter_.for_each_piece(text, [&](std::string_view piece) {
      const std::vector<TokenId>& part = encoded_piece(std::string(piece));
      ids.insert(ids.end(), part.begin(), part.end());
    });
    return ids;
  }

  EncodedDocument encode(const Document& document) {
    EncodedDocument encoded{{begin_of_text}, 0};
    const auto append = [&](const std::vector<TokenId>& part) {
      encoded.ids.insert(encoded.ids.end(), part.begin(), part.end());
    };
    append(encode(document.prompt));
    encoded.first_target = encoded.ids.size();
    append(encode(document.completion));
    encoded.ids.push_back(end_of_text);
    return encoded;
  }

 private:
  static std::uint64_t key(const Merge& merge) {
    return static_cast<std::uint64_t>(merge.left) << 32 | static_cast<std::uint32_t>(merge.right);
  }

  const std::vector<TokenId>& encoded_piece(const std::string& piece) {
    constexpr std::size_t most_pieces = 1 << 16;  // `echo` has an unbounded number of pieces
    const auto known = pieces_.find(piece);
    if (known != pieces_.end()) return known->second;
    if (pieces_.size() == most_pieces) pieces_.clear();
    std::vector<TokenId> symbols = ids_of_bytes(piece);
    for (std::size_t rank = earliest(symbols); rank != merges_.size(); rank = earliest(symbols)) {
      apply_merge(symbols, merges_[rank], first_merge_id + static_cast<TokenId>(rank));
    }
    return pieces_.emplace(piece, std::move(symbols)).first->second;
  }

  /// Returns the rank of the earliest merge that applies; merges_.size() if none does.
  std::size_t earliest(const std::vector<TokenId>& symbols) const {
    std::size_t best = merges_.size();
    for (std::size_t i = 1; i < symbols.size(); ++i) {
      const auto found = ranks_.find(key({symbols[i - 1], symbols[i]}));
      if (found != ranks_.end() && found->second < best) best = found->second;
    }
    return best;
  }

  std::vector<Merge> merges_;
  std::unordered_map<std::uint64_t, std::size_t> ranks_;
  std::unordered_map<std::string, std::vector<TokenId>> pieces_;
  PieceSplitter splitter_;
};

}  // namespace veneer::pretrain
