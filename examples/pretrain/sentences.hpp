// SPDX-License-Identifier: Apache-2.0
/// \file sentences.hpp
/// The ten sentences of the synthetic language, the questions about each, and prose made of them.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pretrain/document.hpp"
#include "pretrain/words.hpp"

namespace veneer::pretrain {

/// The tag of a question and the pattern of the answer.
struct Question {
  std::string_view tag;
  std::string_view answer;
};

/// Questions of the skill `ask`: the answer is copied from the sentence.
inline constexpr Question who{"who", "<name>"};
inline constexpr Question what{"what", "<item>"};
inline constexpr Question when{"when", "<date>"};
inline constexpr Question in_city{"where", "<city>"};
inline constexpr Question in_folder{"where", "<folder>"};
inline constexpr Question price{"price", "<amount> <currency>"};
inline constexpr Question which_file{"file", "<file>"};
inline constexpr Question which_word{"word", "<word>"};

/// Questions of the skill `num`: the answer is written in digits, however the sentence writes it.
inline constexpr Question amount_in_digits{"amount", "<digits>"};
inline constexpr Question day_in_digits{"day", short_date_form};

struct SentenceForm {
  std::string_view pattern;
  std::vector<Question> copied;
  std::vector<Question> digits;
};

inline const std::vector<SentenceForm>& sentence_forms() {
  static const std::vector<SentenceForm> forms{
      {"<name> paid <amount> <currency> for <item> on <date>.",
       {who, what, when, price},
       {amount_in_digits, day_in_digits}},
      {"On <date> <name> bought <item> in <city> for <amount> <currency>.",
       {who, what, when, in_city, price},
       {amount_in_digits, day_in_digits}},
      {"<name> went to <city> on <date>.", {who, when, in_city}, {day_in_digits}},
      {"<name> saved <file> in <folder>.", {who, in_folder, which_file}, {}},
      {"In <city>, <item> costs <amount> <currency>.", {what, in_city, price}, {amount_in_digits}},
      {"The file <file> was lost by <name> on <date>.", {who, when, which_file}, {day_in_digits}},
      {"<name> printed <amount> lines of <file>.", {who, which_file}, {amount_in_digits}},
      {"<name> copied <file> to <folder>.", {who, in_folder, which_file}, {}},
      {"<name> found <word> in line <amount> of <file>.", {who, which_file, which_word}, {amount_in_digits}},
      {"There are <amount> <item> photos in <folder>.", {what, in_folder}, {amount_in_digits}},
  };
  return forms;
}

/// Draws the facts of one sentence, for any of its forms.
inline Slots draw_facts(SplitMix64& random) {
  const Amount amount = draw_amount(random);
  const Date date = draw_date(random);
  Slots facts{{"amount", amount.text},
              {"digits", std::to_string(amount.value)},
              {"currency", std::string(random.pick(currencies))},
              {"date", draw_base_form(random, date)},
              {"name", draw_name(random)},
              {"item", std::string(random.pick(items))},
              {"city", std::string(random.pick(cities))},
              {"folder", draw_folder(random)},
              {"file", draw_file(random)},
              {"word", draw_word(random)}};
  return joined(std::move(facts), date_slots(date));
}

inline constexpr std::array<std::string_view, 8> stock_lines{
    "It was raining all day.",   "The sun was out.",   "Nobody was surprised.", "It was a good day.",
    "The train was late again.", "Everyone was glad.", "It was very cold.",     "The shop was closed the next day."};

/// Draws one to three units; a unit is a sentence, or in one of four cases a stock line. The prompt is empty.
inline Document draw_prose(SplitMix64& random) {
  Document document;
  const int units = random.between(1, 3);
  for (int unit = 0; unit < units; ++unit) {
    if (unit > 0) document.completion.append(" ");
    if (random.one_in(4)) {
      document.completion.append(random.pick(stock_lines));
    } else {
      const SentenceForm& form = random.pick(sentence_forms());
      document.completion.append(substitute(form.pattern, draw_facts(random)));
    }
  }
  return document;
}

}  // namespace veneer::pretrain
