// SPDX-License-Identifier: Apache-2.0
/// \file pieces.hpp
/// Splits text into the pieces of a byte-level BPE with Llama 3's expression, run by PCRE2.
///
/// Every character is in a piece. A space before a word belongs to the piece of the word, so text split before a space
/// that follows `=>` gives the same pieces as the whole.
#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8  // required before the header of PCRE2
#endif
#include <cstddef>
#include <memory>
#include <pcre2.h>
#include <string>
#include <string_view>

#include "veneer/core/error.hpp"

namespace veneer::pretrain {

inline constexpr std::string_view llama3_expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class PieceSplitter {
 public:
  PieceSplitter() {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(llama3_expression.data()), llama3_expression.size(),
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    expects<Error>(code_ != nullptr, "PieceSplitter(): PCRE2 does not compile the expression, error " +
                                         std::to_string(error) + " at byte " + std::to_string(offset));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without JIT, the interpreter gives the same results
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    expects<MemoryError>(match_ != nullptr, "PieceSplitter(): no memory for a match");
  }

  /// Calls use(piece) for each piece in order. Throws Error if the text is not UTF-8.
  template <class Use>
  void for_each_piece(std::string_view text, const Use& use) const {
    std::size_t position = 0;
    while (position < text.size()) {
      const int groups = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), position, 0,
                                     match_.get(), nullptr);
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_.get());
      if (groups <= 0 || range[0] != position || range[1] == position) {
        throw Error("PieceSplitter::for_each_piece(text, use): no piece at byte " + std::to_string(position) +
                    " of the text, PCRE2 gave " + std::to_string(groups) + "; is the text UTF-8?");
      }
      use(text.substr(position, range[1] - position));
      position = range[1];
    }
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };

  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

}  // namespace veneer::pretrain
