// SPDX-License-Identifier: Apache-2.0
/// \file regex_pcre2.hpp
/// Expression: a regular expression compiled by PCRE2, and the memory for matching.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8  // required by pcre2.h; the names used here include the width
#endif
#include <pcre2.h>

#include "veneer/core/error.hpp"
#include "veneer/text/regex_cursor.hpp"

namespace veneer::detail {

/// The memory for matching; one per thread.
struct MatchScratch {
  std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> data{pcre2_match_data_create_8(1, nullptr),
                                                                          pcre2_match_data_free_8};
  std::unique_ptr<pcre2_match_context_8, void (*)(pcre2_match_context_8*)> context{
      pcre2_match_context_create_8(nullptr), pcre2_match_context_free_8};
  std::unique_ptr<pcre2_jit_stack_8, void (*)(pcre2_jit_stack_8*)> stack{
      pcre2_jit_stack_create_8(std::size_t{32} << 10, std::size_t{8} << 20, nullptr), pcre2_jit_stack_free_8};

  MatchScratch() {
    expects<MemoryError>(data != nullptr && context != nullptr, "veneer::Regex: PCRE2 has no memory");
    pcre2_jit_stack_assign_8(context.get(), nullptr, stack.get());   // null, without a JIT, means the default
    pcre2_set_heap_limit_8(context.get(), std::uint32_t{64} << 10);  // KiB
  }

  void set_limit(std::uint32_t limit) {
    if (limit == limit_) return;
    pcre2_set_match_limit_8(context.get(), limit);
    pcre2_set_depth_limit_8(context.get(), limit);
    limit_ = limit;
  }

 private:
  std::uint32_t limit_ = 0;
};

/// A compiled expression; copies share it.
class Expression {
 public:
  /// Compiles `pattern`, in PCRE2's syntax. Throws `RegexError`.
  explicit Expression(const std::string& pattern) {
    const std::unique_ptr<pcre2_compile_context_8, void (*)(pcre2_compile_context_8*)> context{
        pcre2_compile_context_create_8(nullptr), pcre2_compile_context_free_8};
    expects<MemoryError>(context != nullptr, "veneer::Regex: PCRE2 has no memory");
    pcre2_set_newline_8(context.get(), PCRE2_NEWLINE_LF);
    pcre2_set_bsr_8(context.get(), PCRE2_BSR_UNICODE);
    int error = 0;
    PCRE2_SIZE at = 0;
    code_ = {
        pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(pattern.data()), pattern.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at, context.get()),
        pcre2_code_free_8};
    if (code_ == nullptr) throw RegexError(at, message(error));
    // Without JIT the interpreter gives the same matches.
    jit_ = pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE) == 0;
  }

  /// Finds the first match at or after byte `from`: returns PCRE2's return code, with the match in `scratch.data`. The
  /// text must be UTF-8. At most `limit` backtracking steps are made from any position.
  int match(std::string_view text, std::size_t from, std::uint32_t limit, MatchScratch& scratch) const {
    scratch.set_limit(limit);
    const auto subject = reinterpret_cast<PCRE2_SPTR8>(text.data());
    // Without the flag every call would check the whole text, and a long one would take quadratic time.
    const auto run = jit_ ? pcre2_jit_match_8 : pcre2_match_8;
    return run(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data.get(), scratch.context.get());
  }

  /// Returns PCRE2's message for an error.
  static std::string message(int error) {
    PCRE2_UCHAR8 buffer[256];
    const int length = pcre2_get_error_message_8(error, buffer, sizeof buffer);
    return length > 0 ? std::string(buffer, buffer + length) : "error " + std::to_string(error);
  }

 private:
  std::shared_ptr<pcre2_code_8> code_;
  bool jit_ = false;
};

/// Returns whether PCRE2 has a property such as "sc:han" or "alphabetic".
inline bool is_property(const std::string& name) {
  try {
    const Expression expression("\\p{" + name + "}");
  } catch (const RegexError&) {
    return false;
  }
  return true;
}

}  // namespace veneer::detail
