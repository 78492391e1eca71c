// SPDX-License-Identifier: Apache-2.0
/// \file mutator.hpp
/// Mutator: almost valid inputs. Input n of a seed is a function of the seed, n and the corpus.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace veneer::fuzz {

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t number) : state_(seed * 0xD1342543DE82EF95u + number) { next(); }

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  /// Returns a number below `end`; 0 if there is none.
  std::size_t below(std::size_t end) { return end == 0 ? 0 : static_cast<std::size_t>(next() % end); }

  template <class C>
  const auto& one_of(const C& choices) {
    return choices[below(std::size(choices))];
  }

 private:
  std::uint64_t state_;
};

class Mutator {
 public:
  static constexpr std::size_t longest = std::size_t{1} << 16;

  /// \param words  texts with a meaning to the reader
  Mutator(std::vector<std::string> corpus, std::vector<std::string> words)
      : corpus_(std::move(corpus)), words_(std::move(words)) {}

  /// Returns an input. One in sixteen is an unchanged one of the corpus; the others are changed one to four times.
  std::string input(std::uint64_t seed, std::uint64_t number) const {
    Random random(seed, number);
    std::string text = random.one_of(corpus_);
    if (random.below(16) == 0) return text;
    for (std::size_t left = 1 + std::min(random.below(4), random.below(4)); left > 0; --left) change(text, random);
    if (text.size() > longest) text.resize(longest);
    return text;
  }

 private:
  struct Span {
    std::size_t at, size;
  };

  void change(std::string& text, Random& random) const {
    switch (random.below(24)) {  // most keep the rest of the input readable
      case 0: return flip(text, random);
      case 1: return set_byte(text, random);
      case 2: return void(text.erase(random.below(text.size() + 1), 1 + small(random)));
      case 3: return insert(text, random, bytes(random));
      case 4: return insert(text, random, part(text, random));
      case 5: return splice(text, random);
      case 6: return replace(text, some_number(text, random), random.one_of(numbers));
      case 7: return replace(text, some_word(text, random), random.one_of(words_));
      case 8: return insert(text, random, random.one_of(words_));
      case 9: return swap_values(text, random);
      case 10: return repeat_member(text, random);
      case 11: return nest(text, random);
      case 12: return insert(text, random, std::string(random.one_of(ill_formed)));
      case 13: return text.resize(random.below(text.size() + 1));
      case 14: return swap_lines(text, random);
      case 15: return swap_values(text, random);
      case 16: return replace(text, some_number(text, random), random.one_of(numbers));
      case 17:
      case 18: return replace(text, some_word(text, random), some_word_of(random.one_of(corpus_), random));
      default: return replace(text, some_value(text, random), random.one_of(values));
    }
  }

  static constexpr std::array<std::string_view, 14> numbers{"0",
                                                            "-1",
                                                            "1",
                                                            "255",
                                                            "256",
                                                            "2147483647",
                                                            "2147483648",
                                                            "4294967296",
                                                            "9223372036854775808",
                                                            "1e999",
                                                            "-1e-999",
                                                            "0.1",
                                                            "00",
                                                            "99999999999999999999999999999999999999999999"};
  static constexpr std::array<std::string_view, 12> ill_formed{
      "\xFF",    "\xC0\xAF",        "\xED\xA0\x80", "\xF4\x90\x80\x80",        "\xE2\x82",
      "\x80",    "\xEF\xBB\xBF",    "\xC3",         std::string_view("\0", 1), "\\ud800",
      "\\u0000", "\xF0\x9F\x98\x80"};
  static constexpr std::array<std::string_view, 12> values{"null", "true", "[]",  "{}",     "\"\"",     "\" \"",
                                                           "0",    "-1",   "1.5", "[null]", "{\"\":0}", "\"\\u0120\""};

  static std::size_t small(Random& random) { return random.below(8) == 0 ? random.below(1000) : random.below(16); }

  static void flip(std::string& text, Random& random) {
    if (text.empty()) return;
    char& byte = text[random.below(text.size())];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1u << random.below(8)));
  }

  static void set_byte(std::string& text, Random& random) {
    constexpr std::string_view marks = "\"'\\{}[]:,-+.&*!|>%@#?~<=$ \t\r\n";
    if (text.empty()) return;
    const char any = static_cast<char>(random.below(random.below(4) == 0 ? 256 : 128));
    text[random.below(text.size())] = random.below(2) == 0 ? random.one_of(marks) : any;
  }

  static std::string bytes(Random& random) {
    std::string made(1 + small(random) / 4, '\0');
    const std::size_t first = random.below(4) == 0 ? 0 : ' ', last = first == 0 ? 0xFF : '~';
    for (char& byte : made) byte = static_cast<char>(first + random.below(last - first + 1));
    return made;
  }

  static std::string part(const std::string& text, Random& random) {
    return text.substr(random.below(text.size() + 1), 1 + small(random));
  }

  static void insert(std::string& text, Random& random, const std::string& more) {
    text.insert(random.below(text.size() + 1), more);
  }

  static void replace(std::string& text, Span span, std::string_view by) {
    if (span.size > 0) text.replace(span.at, span.size, by);
  }

  void splice(std::string& text, Random& random) const {
    const std::string& other = random.one_of(corpus_);
    text.resize(random.below(text.size() + 1));
    text += other.substr(random.below(other.size() + 1));
  }

  /// Returns the next run of characters for which `is` holds after a random position.
  template <class Is>
  static Span run_of(const std::string& text, Random& random, const Is& is) {
    std::size_t begin = random.below(text.size());
    while (begin < text.size() && !is(text[begin])) ++begin;
    std::size_t end = begin;
    while (end < text.size() && is(text[end])) ++end;
    return {begin, end - begin};
  }

  static Span some_number(const std::string& text, Random& random) {
    return run_of(text, random, [](char c) { return c >= '0' && c <= '9'; });
  }

  static std::string some_word_of(const std::string& text, Random& random) {
    const Span word = some_word(text, random);
    return text.substr(word.at, word.size);
  }

  static Span some_word(const std::string& text, Random& random) {
    return run_of(text, random, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; });
  }

  /// Returns a JSON value, approximately: the text between two delimiters, with balanced brackets.
  static Span some_value(const std::string& text, Random& random) {
    const std::size_t mark = text.find_first_of(":[,", random.below(text.size()));
    if (mark == std::string::npos) return {0, 0};
    const std::size_t begin = mark + 1;
    std::size_t end = begin;
    int depth = 0;
    bool quoted = false;
    for (; end < text.size(); ++end) {
      const char c = text[end];
      if (c == '"' && text[end - 1] != '\\') quoted = !quoted;
      if (quoted) continue;
      if (depth == 0 && (c == ',' || c == ']' || c == '}' || c == '\n')) break;
      if (c == '[' || c == '{') ++depth;
      if (c == ']' || c == '}') --depth;
    }
    return {begin, end - begin};
  }

  static void swap_values(std::string& text, Random& random) {
    Span a = some_value(text, random), b = some_value(text, random);
    if (a.at > b.at) std::swap(a, b);
    if (a.at + a.size > b.at) return;
    const std::string first = text.substr(a.at, a.size), second = text.substr(b.at, b.size);
    text.replace(b.at, b.size, first);
    text.replace(a.at, a.size, second);
  }

  /// Duplicates a key or an item: the text from the preceding to the following delimiter.
  static void repeat_member(std::string& text, Random& random) {
    const Span value = some_value(text, random);
    if (value.size == 0) return;
    const std::size_t before = text.find_last_of("{,\n", value.at > 0 ? value.at - 1 : 0);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    const std::string member = text.substr(begin, value.at + value.size - begin);
    text.insert(begin, member + (text.find('{') == std::string::npos ? "\n" : ","));
  }

  static void nest(std::string& text, Random& random) {
    constexpr std::array<std::string_view, 7> openers{"[", "{\"a\":", "- ", "? ", "[[", "{a: ", "  "};
    const std::string_view opener = random.one_of(openers);
    const std::size_t levels = random.below(4) == 0 ? random.below(5000) : random.below(20);
    std::string more;
    for (std::size_t i = 0; i < levels; ++i) more += opener;
    insert(text, random, more);
  }

  static void swap_lines(std::string& text, Random& random) {
    const std::size_t at = text.find('\n', random.below(text.size()));
    if (at == std::string::npos) return;
    std::rotate(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at) + 1, text.end());
  }

  std::vector<std::string> corpus_, words_;
};

}  // namespace veneer::fuzz
