// SPDX-License-Identifier: Apache-2.0
/// \file pieces.hpp
/// Sentencepiece-style tokenizers for llama.cpp, with a score per token instead of a list of merges.
///
/// llama.cpp merges the adjacent pair whose union is the token with the highest score, the leftmost first. That is
/// sentencepiece's BPE. A tokenizer.json has merges instead: the score of a token is minus the rank of its first merge.
/// This gives the same ids if every two tokens whose union is a token may be merged, and the merges of a token are
/// consecutive, or make runs of spaces that are merged in the same way in both cases. All of this is checked. Unigram
/// models, normalisation tables and the removal of spaces are refused, because llama.cpp silently ignores them in this
/// mode. Source: ggml-org/llama.cpp, src/llama-vocab.cpp (`llm_tokenizer_spm`); conversion/base.py.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/gguf/pre_tokenizer.hpp"
#include "veneer/text/protobuf.hpp"
#include "veneer/text/sentencepiece.hpp"

namespace veneer::detail {

/// The data that llama.cpp needs in addition to tokens and their types.
struct GgufPieces {
  std::unordered_map<std::string, float> scores;
  std::vector<std::string> warnings;
  bool add_space_prefix = false;
};

inline std::pair<std::string, std::string> merge_pair(const Json& merge) {
  if (merge.is_array() && merge.size() == 2) return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const std::string line = merge.is_string() ? merge.get<std::string>() : std::string();
  const std::size_t space = line.find(' ', 1);
  return space == std::string::npos ? std::pair<std::string, std::string>()
                                    : std::pair(line.substr(0, space), line.substr(space + 1));
}

/// Returns the length of a text that consists only of sentencepiece space marks; 0 for another text.
inline std::size_t run_length(std::string_view text) {
  std::size_t length = 0;
  for (; text.starts_with(piece_space); text.remove_prefix(piece_space.size())) ++length;
  return text.empty() ? length : 0;
}

/// Merges of runs of spaces: (left, right) to a rank, the lowest first.
using RunMerges = std::map<std::pair<std::size_t, std::size_t>, float>;

/// Returns a run of single spaces after all merges, the lowest rank first and the leftmost of equal ones.
inline std::vector<std::size_t> join_run(std::size_t length, const RunMerges& ranks) {
  std::vector<std::size_t> parts(length, 1);
  while (true) {
    auto best = ranks.end();
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found == ranks.end() || (best != ranks.end() && found->second >= best->second)) continue;
      best = found, at = i;
    }
    if (best == ranks.end()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

/// Returns whether llama.cpp merges runs of spaces like these merges. Its rank of a pair is that of the first merge
/// that makes the same run. Compared for runs up to eight times the longest token.
inline bool joins_runs_alike(const RunMerges& merges) {
  std::map<std::size_t, float> first;
  for (const auto& [pair, rank] : merges) {
    const auto [known, fresh] = first.emplace(pair.first + pair.second, rank);
    if (!fresh) known->second = std::min(known->second, rank);
  }
  RunMerges by_token;
  for (const auto& [pair, rank] : merges) by_token[pair] = first.at(pair.first + pair.second);
  constexpr std::size_t longest = 64;  // of a token: the work grows with its third power
  if (merges.empty() || first.rbegin()->first > longest) return false;
  for (std::size_t length = 2; length <= 8 * first.rbegin()->first; ++length)
    if (join_run(length, merges) != join_run(length, by_token)) return false;
  return true;
}

/// Returns scores computed from merges. Merges of runs of spaces may be in any order if they come last and no other
/// token contains two spaces, since then they involve no other tokens.
inline std::unordered_map<std::string, float> merge_scores(const Json& merges, std::set<std::string>& pairs,
                                                           const std::string& where) {
  std::unordered_map<std::string, float> scores;
  RunMerges runs;
  std::string last, apart;
  bool runs_are_last = true;
  const std::string two_spaces = std::string(piece_space) + std::string(piece_space);
  float rank = 0;
  for (const Json& merge : merges) {
    const auto [left, right] = merge_pair(merge);
    std::string joined = left + right;
    pairs.insert(left + '\0' + right);
    const bool fresh = scores.emplace(joined, -rank).second, run = run_length(joined) > 0;
    if (run) runs.emplace(std::pair(run_length(left), run_length(right)), rank);
    if (!run && (!runs.empty() || joined.find(two_spaces) != std::string::npos)) runs_are_last = false;
    if (!fresh && joined != last && (!run || apart.empty())) {
      apart = joined;
      if (!run) runs_are_last = false;
    }
    last = std::move(joined);
    rank += 1;
  }
  if (!apart.empty() && (!runs_are_last || !joins_runs_alike(runs)))
    refuse_gguf_tokenizer(where, "merges that make \"" + printable(apart) +
                                     "\" are apart in the list, and llama.cpp has one score for each token");
  return scores;
}

/// Throws for a token whose two parts are tokens that the tokenizer never merges, because llama.cpp would merge them.
inline void expect_all_merges(const Json& vocab, const std::set<std::string>& pairs, const std::set<std::string>& added,
                              const std::string& where) {
  for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
    const std::string& token = entry.key();
    if (added.contains(token) || byte_of_token(token)) continue;
    for (std::size_t at = 1; at < token.size(); ++at) {
      const std::string left = token.substr(0, at), right = token.substr(at);
      if (!vocab.contains(left) || !vocab.contains(right) || pairs.contains(left + '\0' + right)) continue;
      refuse_gguf_tokenizer(where,
                            "\"" + printable(left) + "\" and \"" + printable(right) +
                                "\" are tokens, and so is their union, but no merge joins them; llama.cpp would");
    }
  }
}

/// Reads how spaces become marks: by a normalizer that prepends and replaces, or by Metaspace.
inline void read_space_prefix(const Json& tokenizer, const std::string& where, GgufPieces& pieces) {
  for (const Json* step : json_steps(json_present(tokenizer, "normalizer"), "normalizers")) {
    const std::string type = json_word(*step, "type");
    const Json* pattern = json_present(*step, "pattern");
    const bool marks = type == "Replace" && pattern != nullptr && json_word(*pattern, "String") == " " &&
                       json_word(*step, "content") == piece_space;
    const bool prepends = type == "Prepend" && json_word(*step, "prepend") == piece_space;
    if (prepends) pieces.add_space_prefix = true;
    if (!marks && !prepends)
      refuse_gguf_tokenizer(where, "the normalizer " + dump_python(*step) + ", which llama.cpp does not apply");
  }
  const Json* pre = json_present(tokenizer, "pre_tokenizer");
  if (pre == nullptr || json_word(*pre, "type") == "Split") return;
  std::string scheme = json_word(*pre, "prepend_scheme");
  if (scheme.empty()) scheme = json_flag(*pre, "add_prefix_space", true) ? "always" : "never";
  if (json_word(*pre, "type") != "Metaspace" || json_flag(*pre, "split", true))
    refuse_gguf_tokenizer(where, "the pre_tokenizer " + dump_python(*pre) + ": llama.cpp does not cut at spaces");
  pieces.add_space_prefix = scheme != "never";
  if (scheme != "never")
    pieces.warnings.push_back(where + ": prepend_scheme \"" + scheme +
                              "\": llama.cpp also puts a space before text that follows a special token or begins "
                              "with a space: ids can differ there");
}

/// Returns the scores of a tokenizer.json of this kind. \param added  added tokens
inline GgufPieces json_pieces(const Json& tokenizer, const std::set<std::string>& added, const std::string& where) {
  const Json& model = *json_present(tokenizer, "model");
  const Json *vocab = json_present(model, "vocab"), *merges = json_present(model, "merges");
  const std::string type = json_word(model, "type");
  if ((!type.empty() && type != "BPE") || vocab == nullptr || !vocab->is_object() || merges == nullptr)
    refuse_gguf_tokenizer(where, "the model " + type + ": llama.cpp is given BPE");
  if (!json_flag(model, "byte_fallback", false) || !vocab->contains("<0x00>"))
    refuse_gguf_tokenizer(where, "it has no byte_fallback: llama.cpp fails at a character that is not a token");
  if (json_flag(model, "ignore_merges", false))
    refuse_gguf_tokenizer(where, "\"ignore_merges\" is true, which llama.cpp does not do for sentencepiece");
  GgufPieces pieces;
  std::set<std::string> pairs;
  pieces.scores = merge_scores(*merges, pairs, where);
  expect_all_merges(*vocab, pairs, added, where);
  read_space_prefix(tokenizer, where, pieces);
  return pieces;
}

/// Throws for a normalisation that llama.cpp does not apply.
inline void check_model_normalizer(std::string_view bytes, const std::string& where) {
  for_each_field(bytes, [&](const ProtobufField& field) {
    if (field.number != 3) return;
    for_each_field(field.bytes, [&](const ProtobufField& part) {
      if (part.number == 2 && !part.bytes.empty())
        refuse_gguf_tokenizer(where, "it normalises text by a table (normalizer_spec), and llama.cpp does not");
    });
  });
}

/// Returns the scores of a tokenizer.model.
inline GgufPieces model_pieces(const SentencepieceFile& file, std::string_view bytes, const std::string& where) {
  if (file.model_type != 2)
    refuse_gguf_tokenizer(where, "a unigram model: llama.cpp would join its pieces as if it were BPE");
  if (!file.byte_fallback)
    refuse_gguf_tokenizer(where, "it has no byte_fallback: llama.cpp fails at a character that is not a token");
  if (file.remove_extra_spaces)
    refuse_gguf_tokenizer(where, "it removes extra spaces (remove_extra_whitespaces), and llama.cpp does not");
  check_model_normalizer(bytes, where);
  GgufPieces pieces;
  for (const SentencepieceFile::Piece& piece : file.pieces) pieces.scores.emplace(piece.text, piece.score);
  pieces.add_space_prefix = file.dummy_prefix;
  return pieces;
}

}  // namespace veneer::detail
