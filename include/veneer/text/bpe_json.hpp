// SPDX-License-Identifier: Apache-2.0
/// \file bpe_json.hpp
/// BpeReader: reads a `model` of type BPE in a tokenizer.json, over bytes or over characters.
///
///     vocab     {"token": id, ...}; over bytes in the byte alphabet
///     merges    [["a", "b"], ...] or ["a b", ...], in the order of ranks
///
/// `continuing_subword_prefix` is prepended to every character of a word except the first, and a merge drops that of
/// its right part; `end_of_word_suffix` is appended to the last character.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/added_tokens.hpp"
#include "veneer/text/bpe.hpp"
#include "veneer/text/bpe_symbols.hpp"
#include "veneer/text/piece_cuts.hpp"
#include "veneer/text/pipeline_json.hpp"
#include "veneer/text/tokenizer_file.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer::detail {

/// The reader of `model`.
class BpeReader : TokenizerFile {
 public:
  /// \param added  the added tokens, one of which may be the unknown token of the model
  BpeReader(const TokenizerFile& file, const std::vector<AddedToken>& added, const TextPipeline& pipeline)
      : TokenizerFile(file), added_(added), pipeline_(pipeline) {}

  /// Returns whether a `model` can encode bytes directly, without mapping them to characters.
  static bool takes_bytes(const Json& model) {
    const auto empty = [&](const char* name) {
      const Json* const affix = find_json(model, name);
      return is_absent(affix) || (affix->is_string() && affix->get_ref<const std::string&>().empty());
    };
    return empty("continuing_subword_prefix") && empty("end_of_word_suffix");
  }

  /// Fills `cuts` for a model over characters. Throws `TokenizerError`.
  BpeModel read(const Json& model, PieceCuts& cuts) const {
    only(model, "model",
         {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
          "byte_fallback", "ignore_merges", "vocab", "merges"});
    Vocabulary vocabulary = read_vocabulary(model);
    check_options(model, vocabulary);
    BpeSymbols::Affixes affixes{affix(model, "continuing_subword_prefix"), affix(model, "end_of_word_suffix")};
    std::vector<char32_t> joins;
    MergeTable merges = read_merges(model, vocabulary, affixes.prefix.size(), joins);
    const BpeSymbols::Fallback fallback = read_fallback(model, vocabulary);
    BpeSymbols symbols = pipeline_.bytes ? BpeSymbols::of_bytes(vocabulary, fallback)
                                         : BpeSymbols::of_characters(vocabulary, fallback, std::move(affixes));
    if (!symbols.bytes() || symbols.has_gaps()) check_unknown(model, fallback);
    const bool whole_words = flag_or(model, "ignore_merges", "model", false);
    // A word that is a token must not be split.
    const bool may_cut = !symbols.bytes() && symbols.knows(piece_space_character) && !whole_words;
    const bool drops = may_cut && fallback.unknown == BpeSymbols::none && !symbols.knows_all_bytes();
    cuts = PieceCuts(std::move(joins), may_cut, drops ? std::optional(symbols) : std::nullopt);
    return BpeModel(std::move(vocabulary), std::move(symbols), std::move(merges), whole_words);
  }

 private:
  /// Reads the treatment of symbols that are not tokens.
  BpeSymbols::Fallback read_fallback(const Json& model, const Vocabulary& vocabulary) const {
    BpeSymbols::Fallback fallback;
    fallback.bytes = flag_or(model, "byte_fallback", "model", false);
    fallback.fuse_unknown = flag_or(model, "fuse_unk", "model", false);
    if (const Json* unknown = find_json(model, "unk_token"); !is_absent(unknown))
      fallback.unknown = vocabulary.id(unknown->get_ref<const std::string&>()).value_or(BpeSymbols::none);
    return fallback;
  }

  /// Throws if the model may need an unknown token that it does not have.
  void check_unknown(const Json& model, const BpeSymbols::Fallback& fallback) const {
    const Json* unknown = find_json(model, "unk_token");
    if (!is_absent(unknown) && fallback.unknown == BpeSymbols::none)
      fail(Reason::missing_unk, "model.unk_token", describe_json(*unknown) + " is not in the vocabulary");
  }

  std::string affix(const Json& model, const char* name) const {
    return is_absent(find_json(model, name)) ? "" : text(model, name, "model");
  }

  void check_options(const Json& model, const Vocabulary& vocabulary) const {
    const Json* dropout = find_json(model, "dropout");
    if (!is_absent(dropout) && !(dropout->is_number() && dropout->get<double>() == 0)) {
      fail(Reason::unsupported_option, "model.dropout",
           "found " + describe_json(*dropout) + ": ids would be random; expected null");
    }
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

  /// Reads the merges. A merge drops `prefix` bytes of its right part. `joins` receives the characters that a merge
  /// joins to a "▁".
  MergeTable read_merges(const Json& model, const Vocabulary& vocabulary, std::size_t prefix,
                         std::vector<char32_t>& joins) const {
    const Json& merges = member(model, "merges", "model.merges");
    expect(merges.is_array(), "model.merges", merges, "a list");
    if (merges.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
      fail(Reason::too_large, "model.merges", "more than 2^31 - 1 merges");
    }
    MergeTable table(merges.size());
    std::string joined;
    std::int32_t rank = 0;
    for (const Json& merge : merges) {
      // The first line of a merges.txt, in files converted from one.
      if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
      const auto [left, right] = merge_parts(merge, rank);
      joined.assign(left).append(right.substr(std::min(prefix, right.size())));
      const auto left_id = vocabulary.id(left);
      const auto right_id = vocabulary.id(right);
      const auto result = vocabulary.id(joined);
      if (!left_id || !right_id || !result || right.size() < prefix) {
        fail(Reason::bad_merge, merge_key(rank),
             "of \"" + printable(left) + "\" and \"" + printable(right) +
                 "\": both tokens and their union must be in the vocabulary");
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
