// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer.hpp
/// Text to ids and back, as the tokenizer.json of a model says: byte-level byte-pair encoding.
///
///     const auto tokenizer = Tokenizer::from_folder("path/to/hf-model");
///     const std::vector<std::int32_t> ids = tokenizer.encode("Hello world");     // special tokens added
///     const std::string text = tokenizer.decode(ids, true);                      // and left out again
///
/// Ids are those of Hugging Face's tokenizers library. Text is UTF-8; ids that end inside a character decode to U+FFFD.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/io/file.hpp"
#include "veneer/text/byte_level.hpp"
#include "veneer/text/special_tokens.hpp"
#include "veneer/text/tokenizer_encode.hpp"
#include "veneer/text/tokenizer_json.hpp"
#include "veneer/text/vocabulary.hpp"

namespace veneer {

struct EncodeOptions {
  bool add_special_tokens = true;    // what the tokenizer's template puts before and after a text
  bool parse_special_tokens = true;  // false: `<|eot|>` in the text is just those characters
};

/// A tokenizer; copies share all that is in it, and any number of threads may use them at once.
class Tokenizer {
 public:
  /// Reads `tokenizer.json`, and the names of special tokens from `tokenizer_config.json` and
  /// `special_tokens_map.json`. Throws `TokenizerError` with a reason and a key, `FormatError`, `IoError`.
  static Tokenizer from_folder(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "tokenizer.json";
    if (!std::filesystem::exists(file) && std::filesystem::exists(folder / "tokenizer.model")) {
      throw TokenizerError(
          TokenizerReason::unsupported_model, "",
          folder.string() +
              ": holds tokenizer.model but no tokenizer.json: sentencepiece models are not "
              "supported; save the tokenizer with transformers' AutoTokenizer, which writes a tokenizer.json");
    }
    return Tokenizer(read_text(file, tokenizer_limits.bytes), file.string(), read_special_tokens(folder));
  }

  /// Reads a tokenizer.json alone: there are no names of special tokens then.
  static Tokenizer from_file(const std::filesystem::path& file) {
    return Tokenizer(read_text(file, tokenizer_limits.bytes), file.string(), {});
  }

  /// Reads the text of a tokenizer.json; `where` names it in messages.
  static Tokenizer from_json(std::string_view text, const std::string& where = "tokenizer.json",
                             const SpecialTokens& special = {}) {
    return Tokenizer(text, where, special);
  }

  /// The ids of `text`. Throws `ArgumentError` with the offset of the first byte that is not UTF-8.
  std::vector<std::int32_t> encode(std::string_view text, EncodeOptions options = {}) const {
    return encode(text, options, false).ids;
  }

  /// The ids of `text`, and the bytes of `text` that each covers. Throws as `encode`.
  Encoding encode_with_offsets(std::string_view text, EncodeOptions options = {}) const {
    return encode(text, options, true);
  }

  /// The text of `ids`: their bytes joined, U+FFFD for each part that is not UTF-8. An id that no token has adds
  /// nothing: models often have more rows than the vocabulary. Throws `ArgumentError` for a negative id.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const {
    std::string bytes;
    for (const std::int32_t id : ids) append_bytes(bytes, id, skip_special_tokens);
    std::string text;
    text.reserve(bytes.size());
    append_lossy(text, bytes);
    return text;
  }

  /// Appends the bytes that `id` stands for; they need not be whole characters.
  void append_bytes(std::string& bytes, std::int32_t id, bool skip_special_tokens = false) const {
    expects(id >= 0, "veneer::Tokenizer::decode(ids): an id is negative; labels are not ids");
    if (skip_special_tokens && is_special(id)) return;
    if (const auto text = token(id)) append_token_bytes(bytes, *text);
  }

  /// The count of tokens, the added ones among them.
  std::size_t vocab_size() const { return model_vocabulary().size() + shared_->tokens_beside_model; }

  /// The largest id that a token has; a model needs more rows than this.
  std::int32_t largest_id() const { return std::max(model_vocabulary().largest_id(), shared_->added.largest_id()); }

  /// The id of a token by its text in the vocabulary, where a space is "Ġ".
  std::optional<std::int32_t> id(std::string_view token) const {
    const auto added = shared_->added.id(token);
    return added ? added : model_vocabulary().id(token);
  }

  /// The text of a token in the vocabulary; of an added token that is looked for in normalized text, the normalized
  /// text.
  std::optional<std::string_view> token(std::int32_t id) const {
    const auto added = shared_->added_texts.text(id);
    return added ? added : model_vocabulary().text(id);
  }

  /// Whether the token is marked special in the file: `decode` leaves it out on demand.
  bool is_special(std::int32_t id) const {
    return std::binary_search(shared_->special_ids.begin(), shared_->special_ids.end(), id);
  }

  /// What the template puts before and after a text.
  std::span<const std::int32_t> prefix() const { return shared_->state.parts.post.prefix; }
  std::span<const std::int32_t> suffix() const { return shared_->state.parts.post.suffix; }

  /// The special tokens that the folder names, if the vocabulary has them.
  std::optional<std::int32_t> bos_id() const { return id_of(shared_->names.bos); }
  std::optional<std::int32_t> eos_id() const { return id_of(shared_->names.eos); }
  std::optional<std::int32_t> pad_id() const { return id_of(shared_->names.pad); }
  const SpecialTokens& special_tokens() const { return shared_->names; }

 private:
  /// All that copies share. Encoding takes a scratch out of the pool and puts it back.
  struct Shared {
    Shared(TokenizerParts parts, SpecialTokens special) : state(std::move(parts)), names(std::move(special)) {
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

    detail::TokenizerState state;
    SpecialTokens names;
    Vocabulary added;                       // under the contents in the file, for `id`
    Vocabulary added_texts;                 // under the normalized contents, for `token` and `decode`
    std::vector<std::int32_t> special_ids;  // in order
    std::size_t tokens_beside_model = 0;
    std::mutex mutex;
    std::vector<std::unique_ptr<detail::EncodeScratch>> idle;
  };

  /// A scratch for the time of one call.
  class Lease {
   public:
    explicit Lease(Shared& shared) : shared_(shared) {
      const std::lock_guard lock(shared_.mutex);
      if (shared_.idle.empty()) {
        scratch_ = std::make_unique<detail::EncodeScratch>();
      } else {
        scratch_ = std::move(shared_.idle.back());
        shared_.idle.pop_back();
      }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
      const std::lock_guard lock(shared_.mutex);
      try {
        shared_.idle.push_back(std::move(scratch_));
      } catch (...) {  // no memory to keep it: the next call makes another
      }
    }
    detail::EncodeScratch& operator*() { return *scratch_; }

   private:
    Shared& shared_;
    std::unique_ptr<detail::EncodeScratch> scratch_;
  };

  Tokenizer(std::string_view text, const std::string& where, SpecialTokens special)
      : shared_(std::make_shared<Shared>(read_tokenizer_json(text, where), std::move(special))) {}

  Encoding encode(std::string_view text, EncodeOptions options, bool offsets) const {
    if (const auto bad = find_invalid_utf8(text)) {
      throw ArgumentError("veneer::Tokenizer::encode(text): byte " + std::to_string(*bad) + " is not UTF-8");
    }
    expects(text.size() < std::numeric_limits<std::uint32_t>::max() - 1,
            "veneer::Tokenizer::encode(text): longer than 4 GiB: cut it");
    const PostProcessor& post = shared_->state.parts.post;
    Lease scratch(*shared_);
    Encoding out;
    detail::EncodeRun run(shared_->state, text, options.parse_special_tokens, offsets, *scratch, out);
    run.run();
    if (offsets) detail::trim_offsets(text, post, options.add_special_tokens, run.spaces(), out.offsets);
    if (!options.add_special_tokens) return out;
    out.ids.insert(out.ids.begin(), post.prefix.begin(), post.prefix.end());
    out.ids.insert(out.ids.end(), post.suffix.begin(), post.suffix.end());
    if (offsets) {
      out.offsets.insert(out.offsets.begin(), post.prefix.size(), ByteRange{});
      out.offsets.insert(out.offsets.end(), post.suffix.size(), ByteRange{});
    }
    return out;
  }

  const Vocabulary& model_vocabulary() const { return shared_->state.parts.model.vocabulary(); }

  std::optional<std::int32_t> id_of(const std::optional<std::string>& name) const {
    return name ? id(*name) : std::nullopt;
  }

  std::shared_ptr<Shared> shared_;
};

}  // namespace veneer
