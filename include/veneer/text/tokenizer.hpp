// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer.hpp
/// Tokenizer: converts text to ids and ids to text, as defined by the files of a model: byte-pair encoding over bytes
/// (GPT-2, Llama 3, Qwen) or over characters (Llama 2, Mistral, Gemma), and unigram models.
///
///     const auto tokenizer = Tokenizer::from_folder("path/to/hf-model");
///     const std::vector<std::int32_t> ids = tokenizer.encode("Hello world");     // special tokens added
///     const std::string text = tokenizer.decode(ids, true);                      // and removed
///
/// Ids equal those of Hugging Face's tokenizers library for a tokenizer.json, and those of sentencepiece for a
/// tokenizer.model. Text is UTF-8; an incomplete character is decoded to U+FFFD.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/text/declared_tokens.hpp"
#include "veneer/text/sentencepiece.hpp"
#include "veneer/text/special_tokens.hpp"
#include "veneer/text/token_decoder.hpp"
#include "veneer/text/tokenizer_encode.hpp"
#include "veneer/text/tokenizer_json.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

struct EncodeOptions {
  bool add_special_tokens = true;    // the tokens that the tokenizer's template adds before and after a text
  bool parse_special_tokens = true;  // false: `<|eot|>` in the text is just those characters
};

/// A tokenizer. Copies share their state, and any number of threads may use them concurrently.
class Tokenizer {
 public:
  /// Reads `tokenizer.json`, else `tokenizer.model`, and the names of special tokens from
  /// `tokenizer_config.json` and `special_tokens_map.json`. Tokens declared in these files and in
  /// `added_tokens.json` are added to those of a `tokenizer.json`: see declared_tokens.hpp. Throws
  /// `TokenizerError` with a reason and a key, `FormatError`, `IoError`.
  static Tokenizer from_folder(const std::filesystem::path& folder) {
    const std::filesystem::path json = folder / "tokenizer.json", model = folder / "tokenizer.model";
    const SpecialTokens special = read_special_tokens(folder);
    if (!std::filesystem::exists(json) && std::filesystem::exists(model)) {
      return from_model(read_text(model, tokenizer_limits.bytes), model.string(), special);
    }
    TokenizerParts parts = read_tokenizer_json(read_text(json, tokenizer_limits.bytes), json.string());
    const Vocabulary& vocabulary = parts.model.vocabulary();
    add_declared_tokens(
        read_declared_tokens(folder, parts.added), [&](const std::string& token) { return vocabulary.id(token); },
        vocabulary.size(), parts.added);
    return Tokenizer(std::make_shared<Shared>(std::move(parts), special));
  }

  /// Reads a tokenizer.json alone, or a file whose name ends in .model.
  static Tokenizer from_file(const std::filesystem::path& file) {
    const std::string text = read_text(file, tokenizer_limits.bytes);
    return file.extension() == ".model" ? from_model(text, file.string()) : from_json(text, file.string());
  }

  /// Reads the text of a tokenizer.json; `where` names it in messages.
  static Tokenizer from_json(std::string_view text, const std::string& where = "tokenizer.json",
                             const SpecialTokens& special = {}) {
    return Tokenizer(std::make_shared<Shared>(read_tokenizer_json(text, where), special));
  }

  /// Reads the bytes of a tokenizer.model; `where` names it in messages. `special` determines whether BOS and EOS are
  /// added to a text; by default only BOS is. Special tokens in a text are text.
  static Tokenizer from_model(std::string_view bytes, const std::string& where = "tokenizer.model",
                              const SpecialTokens& special = {}) {
    return Tokenizer(std::make_shared<Shared>(SentencepieceModel(bytes, where), special));
  }

  /// Returns the ids of `text`. `plain` are disjoint byte ranges of the text, in order, without special tokens, so that
  /// the text of a user cannot end a turn. Throws `ArgumentError` with the offset of the first byte that is not UTF-8.
  std::vector<std::int32_t> encode(std::string_view text, EncodeOptions options = {},
                                   std::span<const ByteRange> plain = {}) const {
    return encode(text, options, {options.parse_special_tokens, plain, false}).ids;
  }

  /// Returns the ids of `text`, and the bytes of `text` that each covers. Throws as `encode`.
  Encoding encode_with_offsets(std::string_view text, EncodeOptions options = {},
                               std::span<const ByteRange> plain = {}) const {
    return encode(text, options, {options.parse_special_tokens, plain, true});
  }

  /// Calls `sink(ids)` for chunks of the ids of a text of any length, in order, for texts whose ids should not all be
  /// in memory. Throws as `encode`.
  void encode_to(std::string_view text, EncodeOptions options,
                 const std::function<void(std::span<const std::int32_t>)>& sink) const {
    if (options.add_special_tokens && !prefix().empty()) sink(prefix());
    const bool ends = std::exchange(options.add_special_tokens, false) && !suffix().empty();
    const Encoding rest = encode(text, options, {options.parse_special_tokens, {}, false, &sink});
    if (!rest.ids.empty()) sink(rest.ids);
    if (ends) sink(suffix());
  }

  /// Returns the text of `ids`: see `TokenDecoder`. Ids without a token add nothing, since models often have more rows
  /// than the vocabulary. Throws `ArgumentError` for a negative id.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const {
    TokenDecoder decoder(shared_->decode, false);
    std::string text;
    for (const std::int32_t id : ids) push(decoder, id, skip_special_tokens, text);
    decoder.finish(text);
    return text;
  }

  /// Returns a decoder of ids one at a time, for `push`. `eager`: text is returned as soon as it is determined.
  TokenDecoder decoder(bool eager) const { return {shared_->decode, eager}; }

  /// Appends to `text` the text that is determined after `id`. Throws `ArgumentError` for a negative id.
  void push(TokenDecoder& decoder, std::int32_t id, bool skip_special_tokens, std::string& text) const {
    expects(id >= 0, "veneer::Tokenizer::decode(ids): an id is negative; labels are not ids");
    if (skip_special_tokens && is_special(id)) return;
    if (const SentencepieceModel* model = shared_->model()) {
      decoder.push(model->decoded(id), text);
    } else if (const auto token = this->token(id)) {
      decoder.push(*token, text);
    }
  }

  /// Returns a description of the kind of tokenizer.
  std::string_view kind() const {
    if (const SentencepieceModel* model = shared_->model())
      return model->file().model_type == 1 ? "sentencepiece model, unigram" : "sentencepiece model, byte-pair encoding";
    if (shared_->state()->parts.model.is_unigram()) return "unigram";
    return shared_->state()->parts.pipeline.byte_level() ? "byte-level byte-pair encoding"
                                                         : "byte-pair encoding over characters";
  }

  /// Returns whether it was read from a tokenizer.model.
  bool is_sentencepiece_model() const { return shared_->model() != nullptr; }

  /// Returns the number of tokens, including added ones.
  std::size_t vocab_size() const { return model_vocabulary().size() + shared_->tokens_beside_model; }

  /// Returns the largest id of a token; a model needs more rows than this.
  std::int32_t largest_id() const { return std::max(model_vocabulary().largest_id(), shared_->added.largest_id()); }

  /// Returns the id of a token by its text in the vocabulary, in which a space is "Ġ" (byte level)
  /// or "▁" (sentencepiece).
  std::optional<std::int32_t> id(std::string_view token) const {
    if (const auto added = shared_->added.id(token)) return added;
    const auto known = model_vocabulary().id(token);
    return known ? known : shared_->added_texts.id(token);
  }

  /// Returns the text of a token in the vocabulary; for an added token that is matched in normalized text,
  /// the normalized text.
  std::optional<std::string_view> token(std::int32_t id) const {
    const auto added = shared_->added_texts.text(id);
    return added ? added : model_vocabulary().text(id);
  }

  /// Returns whether the token is marked special in the file: `decode` optionally removes it.
  bool is_special(std::int32_t id) const {
    if (const SentencepieceModel* model = shared_->model()) return model->is_special(id);
    return std::binary_search(shared_->special_ids.begin(), shared_->special_ids.end(), id);
  }

  /// Returns the tokens that the template adds before and after a text.
  std::span<const std::int32_t> prefix() const { return shared_->post().prefix; }
  std::span<const std::int32_t> suffix() const { return shared_->post().suffix; }

  /// Returns the special tokens named in the folder, if the vocabulary has them.
  std::optional<std::int32_t> bos_id() const { return id_of(shared_->names.bos); }
  std::optional<std::int32_t> eos_id() const { return id_of(shared_->names.eos); }
  std::optional<std::int32_t> pad_id() const { return id_of(shared_->names.pad); }
  const SpecialTokens& special_tokens() const { return shared_->names; }

 private:
  /// The state shared by copies. Encoding borrows a scratch buffer from the pool.
  struct Shared {
    Shared(TokenizerParts parts, SpecialTokens special)
        : kind(std::in_place_type<detail::TokenizerState>, std::move(parts)), names(std::move(special)) {
      const auto& state = *this->state();
      decode = state.parts.pipeline.decoders;
      Vocabulary::Entries contents;
      Vocabulary::Entries texts;
      for (const AddedToken& token : state.parts.added) {
        contents.emplace_back(token.content, token.id);
        texts.emplace_back(state.added_texts[texts.size()], token.id);
        if (token.special) special_ids.push_back(token.id);
        if (!state.parts.model.vocabulary().text(token.id)) ++tokens_beside_model;
      }
      added = Vocabulary(contents);
      added_texts = Vocabulary(texts);
      std::sort(special_ids.begin(), special_ids.end());
    }

    Shared(SentencepieceModel from, SpecialTokens special)
        : kind(std::in_place_type<SentencepieceModel>, std::move(from)), names(std::move(special)) {
      const SentencepieceFile& file = model()->file();
      decode = model()->decoders();
      const auto name = [&](std::optional<std::string>& known, std::int32_t id) {
        if (!known) known = model()->name_of(id);
      };
      name(names.bos, file.bos_id), name(names.eos, file.eos_id), name(names.pad, file.pad_id);
      name(names.unk, file.unk_id);
      const auto add = [&](std::vector<std::int32_t>& ids, const std::optional<std::string>& text) {
        if (const auto id = text ? model()->vocabulary().id(*text) : std::nullopt) ids.push_back(*id);
      };
      if (names.add_bos.value_or(true)) add(model_post.prefix, names.bos);
      if (names.add_eos.value_or(false)) add(model_post.suffix, names.eos);
    }

    const detail::TokenizerState* state() const { return std::get_if<detail::TokenizerState>(&kind); }
    const SentencepieceModel* model() const { return std::get_if<SentencepieceModel>(&kind); }
    const PostProcessor& post() const { return state() ? state()->parts.post : model_post; }

    std::variant<detail::TokenizerState, SentencepieceModel> kind;
    SpecialTokens names;
    std::vector<Decoder> decode;
    PostProcessor model_post;               // of a tokenizer.model
    Vocabulary added;                       // under the contents in the file, for `id`
    Vocabulary added_texts;                 // under the normalized contents, for `token` and `decode`
    std::vector<std::int32_t> special_ids;  // in order
    std::size_t tokens_beside_model = 0;
    std::mutex mutex;
    std::vector<std::unique_ptr<detail::EncodeScratch>> idle;
  };

  /// A scratch buffer borrowed for one call.
  class BorrowedBuffer {
   public:
    explicit BorrowedBuffer(Shared& shared) : shared_(shared) {
      const std::lock_guard lock(shared_.mutex);
      if (shared_.idle.empty()) {
        scratch_ = std::make_unique<detail::EncodeScratch>();
      } else {
        scratch_ = std::move(shared_.idle.back());
        shared_.idle.pop_back();
      }
    }
    BorrowedBuffer(const BorrowedBuffer&) = delete;
    BorrowedBuffer& operator=(const BorrowedBuffer&) = delete;
    ~BorrowedBuffer() {
      const std::lock_guard lock(shared_.mutex);
      try {
        shared_.idle.push_back(std::move(scratch_));
      } catch (...) {  // no memory to return it to the pool: the next call makes another
      }
    }
    detail::EncodeScratch& operator*() { return *scratch_; }

   private:
    Shared& shared_;
    std::unique_ptr<detail::EncodeScratch> scratch_;
  };

  explicit Tokenizer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Encoding encode(std::string_view text, EncodeOptions options, const detail::EncodeRequest& request) const {
    if (const auto bad = find_invalid_utf8(text)) {
      throw ArgumentError("veneer::Tokenizer::encode(text): byte " + std::to_string(*bad) + " is not UTF-8");
    }
    const PostProcessor& post = shared_->post();
    Encoding out;
    if (const SentencepieceModel* model = shared_->model()) {
      model->encode(text, out.ids, request.offsets ? &out.offsets : nullptr);
    } else {
      BorrowedBuffer scratch(*shared_);
      detail::EncodeRun run(*shared_->state(), text, request, *scratch, out);
      run.run();
      if (request.offsets) detail::trim_offsets(text, post, options.add_special_tokens, run.spaces(), out.offsets);
    }
    if (!options.add_special_tokens) return out;
    out.ids.insert(out.ids.begin(), post.prefix.begin(), post.prefix.end());
    out.ids.insert(out.ids.end(), post.suffix.begin(), post.suffix.end());
    if (request.offsets) {
      out.offsets.insert(out.offsets.begin(), post.prefix.size(), ByteRange{});
      out.offsets.insert(out.offsets.end(), post.suffix.size(), ByteRange{});
    }
    return out;
  }

  const Vocabulary& model_vocabulary() const {
    return shared_->state() ? shared_->state()->parts.model.vocabulary() : shared_->model()->vocabulary();
  }

  std::optional<std::int32_t> id_of(const std::optional<std::string>& name) const {
    return name ? id(*name) : std::nullopt;
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace veneer
