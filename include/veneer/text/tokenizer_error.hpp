// SPDX-License-Identifier: Apache-2.0
/// \file tokenizer_error.hpp
/// TokenizerError: an error in the files of a tokenizer, with a reason for programs and the key of the error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/core/error.hpp"

namespace veneer {

enum class TokenizerReason {
  json,                        // not JSON (RFC 8259)
  utf8,                        // ill-formed bytes
  too_deep,                    // nested beyond the limit
  too_large,                   // longer than the limit
  not_an_object,               // JSON, but not an object
  duplicate_key,               // a duplicate key in an object
  missing_field,               //
  wrong_type,                  //
  bad_id,                      // an id that is not an integer in [0, 2^31)
  duplicate_id,                // two tokens with one id, or one token with two
  empty_vocab,                 //
  empty_token,                 // an added token without text
  missing_byte,                // a byte-level vocabulary without one of the 256 bytes
  missing_unk,                 // unk_token is not in the vocabulary
  bad_merge,                   // a merge of other than two tokens, or of tokens that are not in the vocabulary
  undefined_special_token,     // a template names a token that it doesn't define
  empty_file,                  // tokenizer.model: no bytes
  protobuf,                    // tokenizer.model: not a protocol buffer, or not of this kind
  bad_piece,                   // tokenizer.model: a token without text, type or score
  bad_table,                   // tokenizer.model: a normalization table with references outside itself
  unsupported_model,           //
  unsupported_option,          //
  unsupported_normalizer,      //
  unsupported_pre_tokenizer,   //
  unsupported_pattern,         //
  unsupported_post_processor,  //
  unsupported_decoder,         //
};

/// Returns the name of a reason, as in the list above.
inline std::string_view to_string(TokenizerReason reason) {
  switch (reason) {
    case TokenizerReason::json: return "json";
    case TokenizerReason::utf8: return "utf8";
    case TokenizerReason::too_deep: return "too_deep";
    case TokenizerReason::too_large: return "too_large";
    case TokenizerReason::not_an_object: return "not_an_object";
    case TokenizerReason::duplicate_key: return "duplicate_key";
    case TokenizerReason::missing_field: return "missing_field";
    case TokenizerReason::wrong_type: return "wrong_type";
    case TokenizerReason::bad_id: return "bad_id";
    case TokenizerReason::duplicate_id: return "duplicate_id";
    case TokenizerReason::empty_vocab: return "empty_vocab";
    case TokenizerReason::empty_token: return "empty_token";
    case TokenizerReason::missing_byte: return "missing_byte";
    case TokenizerReason::missing_unk: return "missing_unk";
    case TokenizerReason::bad_merge: return "bad_merge";
    case TokenizerReason::undefined_special_token: return "undefined_special_token";
    case TokenizerReason::empty_file: return "empty_file";
    case TokenizerReason::protobuf: return "protobuf";
    case TokenizerReason::bad_piece: return "bad_piece";
    case TokenizerReason::bad_table: return "bad_table";
    case TokenizerReason::unsupported_model: return "unsupported_model";
    case TokenizerReason::unsupported_option: return "unsupported_option";
    case TokenizerReason::unsupported_normalizer: return "unsupported_normalizer";
    case TokenizerReason::unsupported_pre_tokenizer: return "unsupported_pre_tokenizer";
    case TokenizerReason::unsupported_pattern: return "unsupported_pattern";
    case TokenizerReason::unsupported_post_processor: return "unsupported_post_processor";
    case TokenizerReason::unsupported_decoder: return "unsupported_decoder";
  }
  return "unknown";
}

/// The longest token that is searched at every position of a text, in bytes: sentencepiece's limit. With longer ones a
/// file could make encoding take quadratic time.
inline constexpr std::size_t longest_token = 8000;

/// A tokenizer that cannot be loaded. `key` is the position in the file (`model.merges[5]`), empty for an error of
/// the whole file.
struct TokenizerError : FormatError {
  TokenizerError(TokenizerReason why, std::string where, const std::string& message)
      : FormatError(message), reason(why), key(std::move(where)) {}
  TokenizerReason reason;
  std::string key;
};

}  // namespace veneer
