// SPDX-License-Identifier: Apache-2.0
/// \file words.hpp
/// The vocabulary of the synthetic language: names, places, things, files, numbers in words, dates in many forms.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "pretrain/document.hpp"
#include "pretrain/random.hpp"

namespace veneer::pretrain {

/// Splits a line of words at its spaces; a wrong Count does not compile.
template <std::size_t Count>
consteval std::array<std::string_view, Count> list_of(std::string_view line) {
  std::array<std::string_view, Count> words{};
  for (std::string_view& word : words) {
    if (line.empty()) throw std::logic_error("fewer words than Count");
    const auto end = line.find(' ');
    word = line.substr(0, end);
    line = end == std::string_view::npos ? std::string_view{} : line.substr(end + 1);
  }
  if (!line.empty()) throw std::logic_error("more words than Count");
  return words;
}

inline constexpr auto first_names = list_of<32>(
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olga Paul Rosa Sam Tina Victor Wendy "
    "Yara Zoe Max Ada Oscar Nina Hugo Lena Igor Julia Tom");
inline constexpr auto last_names = list_of<32>(
    "Brown Clark Davis Evans Fisher Green Hill Irwin Jones King Lopez Moore Novak Owens Parker Quinn Reed Stone Turner "
    "Usher Vogel White Young Zimmer Baker Cole Diaz Ford Gray Hunt Keller Lane");
inline constexpr auto cities = list_of<24>(
    "Berlin Paris Rome Oslo Madrid Vienna Prague Lisbon Dublin London Athens Tokyo Cairo Lima Boston Denver Austin "
    "Zurich Geneva Milan Warsaw Riga Porto Delhi");
inline constexpr auto items = list_of<24>(
    "tea bread paper coffee milk rice soap salt wool glass rope cloth wine honey sugar flour steel paint chalk glue "
    "corn oil cheese butter");
inline constexpr auto plain_words = list_of<54>(
    "notes report data list index main draft plan table photo music video letter budget sales users items orders "
    "config server client access error backup archive temp test demo sample final old new summer winter north south "
    "east west blue red green gold river stone cloud light paper house garden train plane market school office");
inline constexpr auto folders = list_of<18>(
    "backup archive docs src photos music data logs tmp home build reports inbox shared public work lab old");
inline constexpr auto extensions = list_of<10>("txt csv log md json py html xml png pdf");
inline constexpr auto months =
    list_of<12>("January February March April May June July August September October November December");
inline constexpr auto week_days = list_of<7>("Monday Tuesday Wednesday Thursday Friday Saturday Sunday");
inline constexpr auto currencies = list_of<2>("dollars euros");

inline std::string draw_name(SplitMix64& random) {
  std::string name(random.pick(first_names));
  return name.append(" ").append(random.pick(last_names));
}

inline std::string draw_word(SplitMix64& random) { return std::string(random.pick(plain_words)); }

/// Draws a word, two words with an underscore, or a word with a number 1..99, with equal probability.
inline std::string draw_stem(SplitMix64& random) {
  const std::size_t kind = random.below(3);
  std::string stem = draw_word(random);
  if (kind == 1) stem.append("_").append(random.pick(plain_words));
  if (kind == 2) stem.append(std::to_string(random.between(1, 99)));
  return stem;
}

inline std::string draw_file(SplitMix64& random) {
  std::string file = draw_stem(random);
  return file.append(".").append(random.pick(extensions));
}

/// Draws a folder, or in one of three cases `folder/stem`.
inline std::string draw_folder(SplitMix64& random) {
  std::string folder(random.pick(folders));
  if (random.one_in(3)) folder.append("/").append(draw_stem(random));
  return folder;
}

/// Returns 0..999 in words: "three hundred forty-two".
inline std::string number_words(int number) {
  constexpr auto small = list_of<20>(
      "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
      "eighteen nineteen");
  constexpr auto tens = list_of<10>("- - twenty thirty forty fifty sixty seventy eighty ninety");
  expects(number >= 0 && number < 1000, "number_words(number): number must be within 0..999");
  std::string text;
  if (number >= 100) {
    text.append(small[static_cast<std::size_t>(number / 100)]).append(" hundred");
    number %= 100;
    if (number == 0) return text;
    text.append(" ");
  }
  if (number < 20) return text.append(small[static_cast<std::size_t>(number)]);
  text.append(tens[static_cast<std::size_t>(number / 10)]);
  if (number % 10 != 0) text.append("-").append(small[static_cast<std::size_t>(number % 10)]);
  return text;
}

/// "1st", "2nd", "3rd", "4th", "11th", "21st" ...
inline std::string ordinal(int number) {
  const int last = number % 10;
  const bool teen = number / 10 % 10 == 1;
  const char* ending = teen || last > 3 || last == 0 ? "th" : last == 1 ? "st" : last == 2 ? "nd" : "rd";
  return std::to_string(number) + ending;
}

/// Returns 1..28 as "first" .. "twenty-eighth".
inline std::string ordinal_words(int number) {
  constexpr auto names = list_of<20>(
      "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
      "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth");
  expects(number >= 1 && number <= 28, "ordinal_words(number): number must be within 1..28");
  if (number <= 20) return std::string(names[static_cast<std::size_t>(number - 1)]);
  return std::string("twenty-").append(names[static_cast<std::size_t>(number - 21)]);
}

/// An integer and its spelling, in digits or in words with equal probability.
struct Amount {
  int value;
  std::string text;
};

inline Amount draw_amount(SplitMix64& random, int low = 2, int high = 999) {
  const int value = random.between(low, high);
  return {value, random.one_in(2) ? number_words(value) : std::to_string(value)};
}

/// A date in 1950..2049. Days end at the 28th, so every combination is a date.
struct Date {
  int year;
  int month;
  int day;
};

inline Date draw_date(SplitMix64& random) {
  return {random.between(1950, 2049), random.between(1, 12), random.between(1, 28)};
}

/// Returns the slots of the date patterns below. The day of the week is random and need not be the true one.
inline Slots date_slots(const Date& date, std::string_view week_day = {}) {
  const auto two_digits = [](int number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  const std::string_view month = months[static_cast<std::size_t>(date.month - 1)];
  return {{"yyyy", std::to_string(date.year)}, {"yy", two_digits(date.year % 100)},
          {"m", std::to_string(date.month)},   {"mm", two_digits(date.month)},
          {"month", std::string(month)},       {"mon", std::string(month.substr(0, 3))},
          {"d", std::to_string(date.day)},     {"dd", two_digits(date.day)},
          {"nth", ordinal(date.day)},          {"ordinal", ordinal_words(date.day)},
          {"week day", std::string(week_day)}};
}

/// The five forms of the base mixture: March 3, 1987 · 3 March 1987 · the 3rd of March 1987 · Mar 3, 1987 ·
/// the third of March, 1987.
inline constexpr std::array<std::string_view, 5> base_date_forms{"<month> <d>, <yyyy>", "<d> <month> <yyyy>",
                                                                 "the <nth> of <month> <yyyy>", "<mon> <d>, <yyyy>",
                                                                 "the <ordinal> of <month>, <yyyy>"};

/// The short date of the base, month first: 03/24/1987.
inline constexpr std::string_view short_date_form = "<mm>/<dd>/<yyyy>";

/// Draws a date in one of the formats of the base, all with equal probability.
inline std::string draw_base_form(SplitMix64& random, const Date& date) {
  return substitute(random.pick(base_date_forms), date_slots(date));
}

}  // namespace veneer::pretrain
