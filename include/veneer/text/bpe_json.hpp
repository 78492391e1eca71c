// SPDX-License-Identifier: Apache-2.0
/// \file bpe_json.hpp
/// Reads the `model` of a tokenizer.json: byte-pair encoding over bytes, or over characters as sentencepiece has it.
///
///     vocab     {"token": id, ...}; over bytes in the byte alphabet, all 256 among them
///               over characters with <0x00> to <0xFF>, if `byte_fallback` is on
///     merges    [["a", "b"], ...] or ["a b", ...], the first learned first
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/byte_level.hpp"
#include "veneer/text/piece_text.hpp"
#include "veneer/text/pipeline_json.hpp"
#include "veneer/text/tokenizer_file.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer::detail {

/// Refuses a model that is not byte-pair encoding.
inline void check_model_type(const TokenizerFile& file, const Json& model) {
  const Json* type = find_json(model, "type");
  if (type == nullptr) return;  // files of the first versions say nothing; what follows is checked either way
  file.expect(type->is_string(), "model.type", *type, "a text");
  if (type->get_ref<const std::string&>() == "BPE") return;
  file.fail(TokenizerReason::unsupported_model, "model.type",
            "the model " + describe_json(*type) + " is not supported; supported: BPE");
}

/// The reader of `model`.
class BpeReader : TokenizerFile {
 public:
  /// `added` are the tokens beside the model: one of them may be its unknown token.
  BpeReader(const TokenizerFile& file, const std::vector<AddedToken>& added, const TextPipeline& pipeline)
      : TokenizerFile(file), added_(added), pipeline_(pipeline) {}

  /// Fills `cuts` for a model over characters. Throws `TokenizerError`.
  BpeModel read(const Json& model, PieceCuts& cuts) const {
    only(model, "model",
         {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
          "byte_fallback", "ignore_merges", "vocab", "merges"});
    Vocabulary vocabulary = read_vocabulary(model);
    check_options(model, vocabulary);
    BpeSymbols symbols = pipeline_.pieces() ? BpeSymbols(vocabulary, read_fallback(model, vocabulary))
                                            : BpeSymbols(find_bytes(vocabulary));
    std::vector<char32_t> joins;
    MergeTable merges = read_merges(model, vocabulary, joins);
    const bool whole_words = flag_or(model, "ignore_merges", "model", false);
    // A word that is a token as a whole must be seen as a whole.
    const bool may_cut = pipeline_.pieces() && symbols.knows(piece_space_character) && !whole_words;
    cuts = PieceCuts(std::move(joins), may_cut, pipeline_.splits_pieces);
    return BpeModel(std::move(vocabulary), std::move(symbols), std::move(merges), whole_words);
  }

 private:
  std::array<std::int32_t, 256> find_bytes(const Vocabulary& vocabulary) const {
    std::array<std::int32_t, 256> byte_ids{};
    for (std::size_t byte = 0; byte < 256; ++byte) {
      std::string token;
      append_utf8(token, byte_alphabet[byte]);
      const auto found = vocabulary.id(token);
      if (!found) {
        fail(Reason::missing_byte, "model.vocab",
             "the token \"" + token + "\" for the byte " + std::to_string(byte) +
                 " is missing: a byte-level vocabulary holds all 256");
      }
      byte_ids[byte] = *found;
    }
    return byte_ids;
  }

  /// What becomes of characters that are no tokens.
  BpeSymbols::Fallback read_fallback(const Json& model, const Vocabulary& vocabulary) const {
    BpeSymbols::Fallback fallback;
    fallback.fuse_unknown = flag_or(model, "fuse_unk", "model", false);
    if (const Json* unknown = find_json(model, "unk_token"); !is_absent(unknown)) {
      const auto id = vocabulary.id(unknown->get_ref<const std::string&>());
      if (!id) fail(Reason::missing_unk, "model.unk_token", describe_json(*unknown) + " is not in the vocabulary");
      fallback.unknown = *id;
    }
    if (!flag_or(model, "byte_fallback", "model", false)) return fallback;
    std::size_t there = 0;
    std::string missing;
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::string token = byte_token(static_cast<unsigned char>(byte));
      if (vocabulary.id(token)) {
        ++there;
      } else {
        missing = token;
      }
    }
    // Without any, all is unknown. With some, it would depend on the character.
    if (there != 0 && there != 256)
      fail(Reason::missing_byte, "model.vocab", "byte_fallback is on, and the token " + missing + " is missing");
    fallback.bytes = there == 256;
    return fallback;
  }

  void check_options(const Json& model, const Vocabulary& vocabulary) const {
    const Json* dropout = find_json(model, "dropout");
    if (!is_absent(dropout) && !(dropout->is_number() && dropout->get<double>() == 0)) {
      fail(Reason::unsupported_option, "model.dropout",
           "found " + describe_json(*dropout) + ": ids would be random; expected null");
    }
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json* affix = find_json(model, name);
      if (is_absent(affix) || (affix->is_string() && affix->get_ref<const std::string&>().empty())) continue;
      fail(Reason::unsupported_option, std::string("model.") + name,
           "found " + describe_json(*affix) + ": not supported; expected null");
    }
    if (flag_or(model, "byte_fallback", "model", false) && !pipeline_.pieces()) {
      fail(Reason::unsupported_option, "model.byte_fallback",
           "is true, as in sentencepiece models, in a byte-level tokenizer: not supported");
    }
    flag_or(model, "fuse_unk", "model", false);  // nothing is unknown where all bytes are in the vocabulary
    const Json* unknown = find_json(model, "unk_token");
    if (is_absent(unknown)) return;
    expect(unknown->is_string(), "model.unk_token", *unknown, "a text or null");
    const auto& token = unknown->get_ref<const std::string&>();
    const bool is_added =
        std::any_of(added_.begin(), added_.end(), [&](const AddedToken& other) { return other.content == token; });
    if (!token.empty() && !is_added && !vocabulary.id(token)) {
      fail(Reason::missing_unk, "model.unk_token", "\"" + printable(token) + "\" is not in the vocabulary");
    }
  }

  Vocabulary read_vocabulary(const Json& model) const {
    const Json& vocab = member(model, "vocab", "model.vocab");
    expect(vocab.is_object(), "model.vocab", vocab, "an object");
    if (vocab.empty()) fail(Reason::empty_vocab, "model.vocab", "holds no token");
    Vocabulary::Entries entries;
    entries.reserve(vocab.size());
    for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
      entries.emplace_back(entry.key(), id(entry.value(), "model.vocab"));
    }
    Vocabulary vocabulary(entries);
    if (const auto repeated = vocabulary.repeated_id()) {
      fail(Reason::duplicate_id, "model.vocab", "two tokens have the id " + std::to_string(*repeated));
    }
    return vocabulary;
  }

  /// `joins`: the characters that a merge puts before a "▁".
  MergeTable read_merges(const Json& model, const Vocabulary& vocabulary, std::vector<char32_t>& joins) const {
    const Json& merges = member(model, "merges", "model.merges");
    expect(merges.is_array(), "model.merges", merges, "a list");
    if (merges.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
      fail(Reason::too_large, "model.merges", "more than 2^31 - 1 merges");
    }
    MergeTable table(merges.size());
    std::string joined;
    std::int32_t rank = 0;
    for (const Json& merge : merges) {
      // The first line of a merges.txt, in files that were made of one.
      if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
      const auto [left, right] = merge_parts(merge, rank);
      joined.assign(left).append(right);
      const auto left_id = vocabulary.id(left);
      const auto right_id = vocabulary.id(right);
      const auto result = vocabulary.id(joined);
      if (!left_id || !right_id || !result) {
        fail(Reason::bad_merge, merge_key(rank),
             "of \"" + printable(left) + "\" and \"" + printable(right) +
                 "\": these two and what they make must be in the vocabulary");
      }
      table.set(*left_id, *right_id, {rank, *result});
      if (right.starts_with(piece_space) && !left.empty()) {
        const char32_t before = code_point_before(left, left.size()).value;
        if (joins.empty() || joins.back() != before) joins.push_back(before);
      }
      ++rank;
    }
    return table;
  }

  static std::string merge_key(std::int32_t rank) { return "model.merges[" + std::to_string(rank) + "]"; }

  std::pair<std::string_view, std::string_view> merge_parts(const Json& merge, std::int32_t rank) const {
    if (merge.is_string()) {
      const std::string_view line = merge.get_ref<const std::string&>();
      const std::size_t space = line.find(' ');
      if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
        fail(Reason::bad_merge, merge_key(rank),
             "expected two tokens and a space between, found " + describe_json(merge));
      }
      return {line.substr(0, space), line.substr(space + 1)};
    }
    expect(merge.is_array(), merge_key(rank), merge, "two tokens");
    for (const Json& part : merge) expect(part.is_string(), merge_key(rank), part, "a token");
    if (merge.size() != 2)
      fail(Reason::bad_merge, merge_key(rank), "expected two tokens, found " + std::to_string(merge.size()));
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }

  const std::vector<AddedToken>& added_;
  const TextPipeline& pipeline_;
};

}  // namespace veneer::detail
