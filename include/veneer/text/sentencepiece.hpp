// SPDX-License-Identifier: Apache-2.0
/// \file sentencepiece.hpp
/// SentencepieceModel: the file `tokenizer.model`, BPE or unigram, encoded by the library that defines the format.
///
///     message ModelProto { repeated Piece pieces = 1; TrainerSpec = 2; NormalizerSpec = 3; NormalizerSpec = 5 }
///     message Piece { string piece = 1; float score = 2; enum type = 3 }
///
/// Kudo and Richardson, "SentencePiece", arXiv:1808.06226. The file is first read here, for the tokens, and because the
/// library trusts its input: duplicate pieces, and a normalization table with references outside itself, crash the
/// library and are errors here. Control symbols in a text (`<s>`) are ordinary text to sentencepiece.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <sentencepiece_processor.h>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "veneer/text/decoders.hpp"
#include "veneer/text/normalize.hpp"
#include "veneer/text/protobuf.hpp"
#include "veneer/text/tokenizer_error.hpp"
#include "veneer/text/unigram.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

/// The type of a piece, with the numbers of the format.
enum class PieceType : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// The contents of a tokenizer.model.
struct SentencepieceFile {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };
  std::vector<Piece> pieces;  // by id
  int model_type = 1;         // 1 unigram, 2 BPE
  bool byte_fallback = false;
  std::int32_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;
  std::string unknown_text = " \xE2\x81\x87 ";  // the text of an unknown token
  bool dummy_prefix = true, remove_extra_spaces = true;
};

namespace detail {

/// A node of the double array of a normalization table: S. Yata, Darts-clone, "unit".
struct TrieUnit {
  std::uint32_t bits;
  bool has_leaf() const { return ((bits >> 8) & 1u) != 0; }
  std::uint32_t value() const { return bits & 0x7FFFFFFFu; }
  std::uint32_t label() const { return bits & 0x800000FFu; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & (1u << 9)) >> 6); }
};

/// Returns whether a lookup of any text stays within the table: every reachable node has all of its 256 possible
/// children inside, and every leaf refers to a replacement that ends with a 0 within a bounded length.
inline bool safe_normalization_table(std::string_view table) {
  if (table.empty()) return true;
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(table[at + i]);
    return value;
  };
  if (table.size() < 8) return false;
  const std::size_t trie_bytes = word(0);
  if (trie_bytes >= table.size() - 4 || trie_bytes < 4 * 256 || trie_bytes % 4 != 0) return false;
  const std::string_view replacements = table.substr(4 + trie_bytes);
  if (replacements.back() != '\0' || find_invalid_utf8(replacements)) return false;
  const std::size_t units = trie_bytes / 4;
  const auto unit = [&](std::size_t at) { return TrieUnit{word(4 + 4 * at)}; };
  std::vector<bool> seen(units);
  std::vector<std::uint32_t> waiting{0};
  seen[0] = true;
  while (!waiting.empty()) {
    const std::uint32_t at = waiting.back();
    waiting.pop_back();
    const std::uint32_t base = at ^ unit(at).offset();
    if ((base | 0xFFu) >= units) return false;
    if (at != 0 && unit(at).has_leaf()) {
      const std::size_t begin = unit(base).value();
      if (begin >= replacements.size()) return false;
      // Unicode's longest is a few dozen bytes; without a bound a character of a text could become megabytes.
      if (replacements.substr(begin, 1024).find('\0') == std::string_view::npos) return false;
    }
    for (std::uint32_t label = 0; label < 256; ++label) {
      const std::uint32_t child = base ^ label;
      if (seen[child] || unit(child).label() != label) continue;
      seen[child] = true;
      waiting.push_back(child);
    }
  }
  return true;
}

/// A reader of a tokenizer.model.
class SentencepieceReader {
 public:
  using Reason = TokenizerReason;

  explicit SentencepieceReader(const std::string& where) : where_(where) {}

  SentencepieceFile read(std::string_view bytes) const {
    if (bytes.empty()) fail(Reason::empty_file, "", "the file is empty");
    SentencepieceFile file;
    each(bytes, "", [&](const ProtobufField& field) {
      if (field.number == 1) file.pieces.push_back(read_piece(bytes_of(field, "pieces"), file.pieces.size()));
      if (field.number == 2) read_trainer(bytes_of(field, "trainer_spec"), file);
      if (field.number == 3) read_normalizer(bytes_of(field, "normalizer_spec"), &file);
      if (field.number == 5) read_normalizer(bytes_of(field, "denormalizer_spec"), nullptr);
    });
    check(file);
    return file;
  }

  [[noreturn]] void fail(Reason reason, const std::string& key, const std::string& message) const {
    throw TokenizerError(reason, key, where_ + (key.empty() ? ": " : ": " + key + ": ") + message);
  }

 private:
  template <class F>
  void each(std::string_view message, const std::string& key, const F& f) const {
    if (!for_each_field(message, f))
      fail(Reason::protobuf, key,
           "is not a sentencepiece model: the bytes are not a protocol buffer, or are cut short");
  }

  std::string_view bytes_of(const ProtobufField& field, const std::string& key) const {
    if (field.type != ProtobufField::Type::bytes) fail(Reason::protobuf, key, "expected a message or a text");
    return field.bytes;
  }

  SentencepieceFile::Piece read_piece(std::string_view message, std::size_t number) const {
    const std::string key = "pieces[" + std::to_string(number) + "]";
    SentencepieceFile::Piece piece;
    each(message, key, [&](const ProtobufField& field) {
      if (field.number == 1) piece.text = bytes_of(field, key);
      if (field.number == 2) piece.score = field.as_float();
      if (field.number != 3) return;
      if (field.value < 1 || field.value > 6) fail(Reason::bad_piece, key, "has an unknown type");
      piece.type = static_cast<PieceType>(field.value);
    });
    const bool good =
        !piece.text.empty() && !find_invalid_utf8(piece.text) && piece.text.find('\0') == std::string::npos;
    if (!good) fail(Reason::bad_piece, key, "expected a text that is UTF-8, not empty and without a 0 byte");
    if (piece.text.size() >= longest_token) fail(Reason::too_large, key, "is longer than sentencepiece takes");
    if (!std::isfinite(piece.score)) fail(Reason::bad_piece, key, "has a score that is not a finite number");
    if (piece.type == PieceType::byte && !byte_of_token(piece.text))
      fail(Reason::bad_piece, key, "\"" + printable(piece.text) + "\" is a byte, expected such as <0x0A>");
    return piece;
  }

  void read_trainer(std::string_view message, SentencepieceFile& file) const {
    const auto number = [](const ProtobufField& field) { return static_cast<std::int32_t>(field.value); };
    each(message, "trainer_spec", [&](const ProtobufField& field) {
      switch (field.number) {
        case 3: file.model_type = number(field); break;
        case 35: file.byte_fallback = field.value != 0; break;
        case 40: file.unk_id = number(field); break;
        case 41: file.bos_id = number(field); break;
        case 42: file.eos_id = number(field); break;
        case 43: file.pad_id = number(field); break;
        case 44: file.unknown_text = bytes_of(field, "trainer_spec.unk_surface"); break;
        default: break;
      }
    });
    if (find_invalid_utf8(file.unknown_text)) fail(Reason::utf8, "trainer_spec.unk_surface", "is not UTF-8");
  }

  void read_normalizer(std::string_view message, SentencepieceFile* file) const {
    each(message, "normalizer_spec", [&](const ProtobufField& field) {
      if (field.number == 2 && !safe_normalization_table(bytes_of(field, "normalizer_spec.precompiled_charsmap")))
        fail(Reason::bad_table, "normalizer_spec.precompiled_charsmap", "has references outside itself");
      if (file == nullptr) return;
      if (field.number == 3) file->dummy_prefix = field.value != 0;
      if (field.number == 4) file->remove_extra_spaces = field.value != 0;
      if (field.number == 5 && field.value == 0)
        fail(Reason::unsupported_option, "normalizer_spec.escape_whitespaces", "is off: not supported");
    });
  }

  void check(SentencepieceFile& file) const {
    if (file.pieces.empty()) fail(Reason::empty_vocab, "pieces", "holds no token");
    if (file.model_type != 1 && file.model_type != 2)
      fail(Reason::unsupported_model, "trainer_spec.model_type",
           "found " + std::to_string(file.model_type) + ", supported: 1 (unigram), 2 (BPE)");
    std::unordered_set<std::string_view> texts;
    std::size_t bytes = 0, unknown = 0;
    for (std::size_t i = 0; i < file.pieces.size(); ++i) {
      const SentencepieceFile::Piece& piece = file.pieces[i];
      const std::string key = "pieces[" + std::to_string(i) + "]";
      if (!texts.insert(piece.text).second)
        fail(Reason::duplicate_id, key, "the piece \"" + printable(piece.text) + "\" is given twice");
      bytes += piece.type == PieceType::byte ? 1u : 0u;
      unknown += piece.type == PieceType::unknown ? 1u : 0u;
      if (piece.type == PieceType::unknown) file.unk_id = static_cast<std::int32_t>(i);
    }
    if (unknown != 1)
      fail(Reason::missing_unk, "pieces", "expected one unknown piece, found " + std::to_string(unknown));
    if (bytes != (file.byte_fallback ? 256u : 0u))
      fail(Reason::missing_byte, "pieces",
           "found " + std::to_string(bytes) + " bytes, expected 256 with byte_fallback, 0 without");
  }

  const std::string& where_;
};

}  // namespace detail

/// A model for encoding; any number of threads may use it concurrently.
class SentencepieceModel {
 public:
  /// Loads the `bytes` of a tokenizer.model; `where` names it in messages. Throws `TokenizerError`.
  SentencepieceModel(std::string_view bytes, const std::string& where) {
    const detail::SentencepieceReader reader(where);
    file_ = reader.read(bytes);
    Vocabulary::Entries entries;
    for (const auto& piece : file_.pieces) entries.emplace_back(piece.text, static_cast<std::int32_t>(entries.size()));
    vocabulary_ = Vocabulary(entries);
    if (file_.model_type == 1) unigram_ = make_unigram();
    try {
      const auto status = processor_->LoadFromSerializedProto(bytes);
      if (!status.ok()) reader.fail(TokenizerReason::protobuf, "", "sentencepiece refuses it: " + status.ToString());
    } catch (const TokenizerError&) {
      throw;
    } catch (const std::exception& error) {
      reader.fail(TokenizerReason::protobuf, "", std::string("sentencepiece refuses it: ") + error.what());
    }
  }

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const SentencepieceFile& file() const { return file_; }

  /// Returns the decoders from tokens to text.
  std::vector<Decoder> decoders() const {
    std::vector<Decoder> steps;
    if (file_.dummy_prefix || file_.remove_extra_spaces)
      steps.push_back(decoders::LeadingMark(file_.remove_extra_spaces));
    steps.push_back(decoders::Replace(std::string(piece_space), " "));
    decoders::ByteFallback bytes;
    bytes.whole_runs = false;
    if (file_.byte_fallback) steps.push_back(bytes);
    return steps;
  }

  /// Returns the text of a token, before "▁" becomes a space.
  std::string_view decoded(std::int32_t id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= file_.pieces.size()) return {};
    const auto& piece = file_.pieces[static_cast<std::size_t>(id)];
    if (piece.type == PieceType::control) return {};
    return piece.type == PieceType::unknown ? std::string_view(file_.unknown_text) : std::string_view(piece.text);
  }

  /// Returns whether a token is a control symbol; an unknown token is text.
  bool is_special(std::int32_t id) const {
    if (id < 0 || static_cast<std::size_t>(id) >= file_.pieces.size()) return false;
    return file_.pieces[static_cast<std::size_t>(id)].type == PieceType::control;
  }

  /// Returns the text of the token with this role in the model's training, if there is one.
  std::optional<std::string> name_of(std::int32_t id) const {
    const auto text = vocabulary_.text(id);
    return text ? std::optional<std::string>(*text) : std::nullopt;
  }

  /// Appends the ids of `text`, and optionally the bytes that each covers.
  void encode(std::string_view text, std::vector<std::int32_t>& ids, std::vector<ByteRange>* offsets) const {
    if (text.empty()) return;
    if (file_.model_type == 2 && offsets == nullptr) {
      const std::vector<int> found = processor_->EncodeAsIds(text);
      ids.insert(ids.end(), found.begin(), found.end());
      return;
    }
    const auto found = processor_->EncodeAsImmutableProto(text);
    if (file_.model_type == 1) return encode_unigram(text, found, ids, offsets);
    for (const auto& piece : found.pieces()) {
      ids.push_back(static_cast<std::int32_t>(piece.id()));
      if (offsets != nullptr) offsets->push_back({piece.begin(), piece.end()});
    }
  }

 private:
  UnigramSegmenter make_unigram() const {
    std::vector<UnigramSegmenter::Entry> entries;
    for (std::size_t i = 0; i < file_.pieces.size(); ++i) {
      const auto& piece = file_.pieces[i];
      if (piece.type != PieceType::normal && piece.type != PieceType::user_defined) continue;
      entries.push_back({piece.text, static_cast<std::int32_t>(i), piece.score, piece.type == PieceType::user_defined});
    }
    return {std::move(entries), file_.unk_id};
  }

  /// Segments the text normalized by sentencepiece again; UnigramSegmenter explains why.
  void encode_unigram(std::string_view text, const sentencepiece::ImmutableSentencePieceText& found,
                      std::vector<std::int32_t>& ids, std::vector<ByteRange>* offsets) const {
    Normalized normal;
    for (const auto& piece : found.pieces()) {
      const auto byte = file_.byte_fallback ? byte_of_token(piece.piece()) : std::nullopt;
      normal.text.append(byte ? std::string(1, static_cast<char>(*byte)) : piece.piece());
      if (offsets != nullptr) add_origins(text, {piece.begin(), piece.end()}, normal);
    }
    std::int32_t last = -1;
    const auto put = [&](std::int32_t id, std::size_t begin, std::size_t end) {
      const bool fused = id == file_.unk_id && last == id;  // adjacent unknown pieces are one
      last = id;
      if (!fused) ids.push_back(id);
      if (offsets == nullptr) return;
      const ByteRange from{normal.origin[begin].begin, normal.origin[end - 1].end};
      if (fused) {
        offsets->back().end = from.end;
      } else {
        offsets->push_back(from);
      }
    };
    for (const UnigramSegmenter::Piece& piece : unigram_.cut(normal.text)) {
      if (piece.id != file_.unk_id || !file_.byte_fallback) {
        put(piece.id, piece.begin, piece.end);
        continue;
      }
      for (std::size_t at = piece.begin; at < piece.end; ++at) {
        const std::string token = byte_token(static_cast<unsigned char>(normal.text[at]));
        put(vocabulary_.id(token).value_or(file_.unk_id), at, at + 1);
      }
    }
  }

  /// Adds the origins of the last bytes appended to `normal`, which come from bytes `from` of `text`: one character
  /// each if the numbers of characters agree (except for a prepended "▁"), else the whole range for all.
  static void add_origins(std::string_view text, ByteRange from, Normalized& normal) {
    const std::string_view added = std::string_view(normal.text).substr(normal.origin.size());
    std::vector<ByteRange> source;
    for (std::size_t at = from.begin; at < from.end;) {
      const std::size_t length = std::max<std::size_t>(1, decode_utf8(text, at).length);
      source.push_back({at, at + length});
      at += length;
    }
    std::size_t characters = 0;
    for (std::size_t i = 0; i < added.size(); ++i) characters += is_continuation(added, i) ? 0u : 1u;
    if (characters == source.size() + 1 && added.starts_with(piece_space))
      source.insert(source.begin(), ByteRange{from.begin, from.begin});
    const bool aligned = characters == source.size();
    std::size_t character = 0;
    for (std::size_t i = 0; i < added.size(); ++i) {
      if (!is_continuation(added, i)) ++character;
      ByteRange origin = aligned && character > 0 ? source[character - 1] : from;
      if (character <= 1) origin.begin = from.begin;
      if (character == characters && characters > 0 && !(aligned && characters == 1)) origin.end = from.end;
      normal.origin.push_back(origin);
    }
  }

  SentencepieceFile file_;  // `unigram_` has views of its texts, which remain valid when the vector is moved
  Vocabulary vocabulary_;
  UnigramSegmenter unigram_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_ =
      std::make_unique<sentencepiece::SentencePieceProcessor>();
};

}  // namespace veneer
