// SPDX-License-Identifier: Apache-2.0
/// \file skills.hpp
/// The eleven skills of the shipped base model, and their weights in pre-training.
///
/// | skill   | example                                                                                       |
/// |---------|-----------------------------------------------------------------------------------------------|
/// | spell   | `spell: 342 =>` ` three hundred forty-two`                                                    |
/// | digits  | `digits: three hundred forty-two =>` ` 342`                                                   |
/// | short   | `short date: the 3rd of March 1987 =>` ` 03/03/1987` (month first)                            |
/// | long    | `long date: 03/03/1987 =>` ` March 3, 1987`                                                   |
/// | ask     | `where: Maria Green copied backup.csv to tmp/orders. =>` ` tmp/orders`                        |
/// | num     | `amount: Ann Reed printed forty lines of red.md. =>` ` 40`                                    |
/// | json    | `json: price 483, age 93, item butter =>` ` {"price": 483, "age": 93, "item": "butter"}`      |
/// | fill    | `fill: train X cloud list Y, X is temp, Y is old.txt =>` ` train temp cloud list old.txt`     |
/// | reverse | `reverse: access winter notes =>` ` notes winter access`                                      |
/// | next    | `next: 576 =>` ` 577`                                                                         |
/// | echo    | `echo: f*json{2 =>` ` f*json{2`                                                               |
///
/// `echo` makes every printable ASCII character a target, and every token that the new tasks need. An adapter does not
/// change the embeddings, which are also the output layer, so a later task may not be able to produce a token that was
/// never a target of the base.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pretrain/document.hpp"
#include "pretrain/sentences.hpp"
#include "pretrain/words.hpp"

namespace veneer::pretrain {

inline Document draw_spell(SplitMix64& random) {
  const int number = random.between(0, 999);
  return make_document("spell", std::to_string(number), number_words(number));
}

inline Document draw_digits(SplitMix64& random) {
  const int number = random.between(0, 999);
  return make_document("digits", number_words(number), std::to_string(number));
}

inline Document draw_short_date(SplitMix64& random) {
  const Date date = draw_date(random);
  const std::string input = draw_base_form(random, date);
  return make_document("short date", input, substitute(short_date_form, date_slots(date)));
}

inline Document draw_long_date(SplitMix64& random) {
  const Slots slots = date_slots(draw_date(random));
  return make_document("long date", substitute(short_date_form, slots), substitute(base_date_forms[0], slots));
}

inline Document draw_ask(SplitMix64& random) {
  const SentenceForm& form = random.pick(sentence_forms());
  const Question& question = random.pick(form.copied);
  const Slots facts = draw_facts(random);
  return make_document(question.tag, substitute(form.pattern, facts), substitute(question.answer, facts));
}

/// A sentence form with one of its questions for digits.
struct DigitsQuestion {
  const SentenceForm* form;
  Question question;
};

inline const std::vector<DigitsQuestion>& digits_questions() {
  static const std::vector<DigitsQuestion> questions = [] {
    std::vector<DigitsQuestion> all;
    for (const SentenceForm& form : sentence_forms()) {
      for (const Question& question : form.digits) all.push_back({&form, question});
    }
    return all;
  }();
  return questions;
}

inline Document draw_num(SplitMix64& random) {
  const DigitsQuestion& asked = random.pick(digits_questions());
  const Slots facts = draw_facts(random);
  return make_document(asked.question.tag, substitute(asked.form->pattern, facts),
                       substitute(asked.question.answer, facts));
}

/// Returns the first `count` entries of a shuffle of 0 .. Size - 1 (Fisher and Yates, stopped early).
template <std::size_t Size>
std::array<std::size_t, Size> shuffled(SplitMix64& random, std::size_t count) {
  std::array<std::size_t, Size> order{};
  for (std::size_t i = 0; i < Size; ++i) order[i] = i;
  for (std::size_t i = 0; i < count; ++i) std::swap(order[i], order[i + random.below(Size - i)]);
  return order;
}

/// Draws two or three of six keys in any order; names and files are strings, ages and prices numbers.
inline Document draw_json(SplitMix64& random) {
  struct Field {
    std::string_view key;
    std::string value;
    bool quoted;
  };
  const std::array<Field, 6> fields{{{"name", draw_name(random), true},
                                     {"age", std::to_string(random.between(1, 99)), false},
                                     {"city", std::string(random.pick(cities)), true},
                                     {"item", std::string(random.pick(items)), true},
                                     {"price", std::to_string(random.between(2, 999)), false},
                                     {"file", draw_file(random), true}}};
  const std::size_t count = 2 + random.below(2);
  const auto order = shuffled<fields.size()>(random, count);
  std::string input;
  std::string answer = "{";
  for (std::size_t i = 0; i < count; ++i) {
    const Field& field = fields[order[i]];
    const std::string_view quote = field.quoted ? "\"" : "";
    const std::string_view comma = i == 0 ? "" : ", ";
    input.append(comma).append(field.key).append(" ").append(field.value);
    answer.append(comma).append("\"").append(field.key).append("\": ");
    answer.append(quote).append(field.value).append(quote);
  }
  return make_document("json", input, answer.append("}"));
}

/// Draws two to four words with one or two gaps, X before Y, and their fillings: a word or a file.
inline Document draw_fill(SplitMix64& random) {
  constexpr std::array<std::string_view, 2> gaps{"X", "Y"};
  const std::size_t gap_count = 1 + random.below(2);
  const std::size_t length = 2 + random.below(3) + gap_count;
  std::size_t gaps_left = gap_count;
  std::string input;
  std::string answer;
  std::string values;
  for (std::size_t position = 0; position < length; ++position) {
    const std::string_view space = position == 0 ? "" : " ";
    if (random.below(length - position) < gaps_left) {
      const std::string_view gap = gaps[gap_count - gaps_left--];
      const std::string value = random.one_in(2) ? draw_file(random) : draw_word(random);
      input.append(space).append(gap);
      answer.append(space).append(value);
      values.append(", ").append(gap).append(" is ").append(value);
    } else {
      const std::string_view word = random.pick(plain_words);
      input.append(space).append(word);
      answer.append(space).append(word);
    }
  }
  return make_document("fill", input + values, answer);
}

inline Document draw_reverse(SplitMix64& random) {
  const int count = random.between(3, 5);
  std::string input;
  std::string answer;
  for (int i = 0; i < count; ++i) {
    const std::string word = draw_word(random);
    input.append(i == 0 ? "" : " ").append(word);
    answer.insert(0, i == 0 ? word : word + " ");
  }
  return make_document("reverse", input, answer);
}

inline Document draw_next(SplitMix64& random) {
  const int number = random.between(0, 999);
  return make_document("next", std::to_string(number), std::to_string(number + 1));
}

/// Draws 3..12 characters of `!` .. `~`: single ones, sometimes a path separator or the end of a word. (The space, the
/// last printable character, is at the start of every completion.) Ends of words make tokens such as `json` targets,
/// which the other skills use only as a part of `.json`.
inline Document draw_echo(SplitMix64& random) {
  constexpr std::string_view path_marks = "._-/";
  const auto length = static_cast<std::size_t>(random.between(3, 12));
  std::string text;
  while (text.size() < length) {
    const std::size_t kind = random.below(6);
    if (kind == 0) {
      const std::string_view word = random.one_in(2) ? random.pick(extensions) : random.pick(plain_words);
      text.append(word.substr(random.below(word.size())));
    } else if (kind == 1) {
      text.push_back(random.pick(path_marks));
    } else {
      text.push_back(static_cast<char>(random.between('!', '~')));
    }
  }
  text.resize(length);
  return make_document("echo", text, text);
}

struct Skill {
  std::string_view name;
  std::size_t weight;
  Draw draw;
};

inline constexpr std::array<Skill, 11> skills{{{"spell", 8, draw_spell},
                                               {"digits", 8, draw_digits},
                                               {"short", 10, draw_short_date},
                                               {"long", 6, draw_long_date},
                                               {"ask", 22, draw_ask},
                                               {"num", 18, draw_num},
                                               {"json", 10, draw_json},
                                               {"fill", 12, draw_fill},
                                               {"reverse", 6, draw_reverse},
                                               {"next", 3, draw_next},
                                               {"echo", 4, draw_echo}}};

/// Draws a skill with a probability proportional to its weight.
inline const Skill& draw_skill(SplitMix64& random) {
  std::size_t total = 0;
  for (const Skill& skill : skills) total += skill.weight;
  std::size_t left = random.below(total);
  for (const Skill& skill : skills) {
    if (left < skill.weight) return skill;
    left -= skill.weight;
  }
  return skills.back();
}

}  // namespace veneer::pretrain
