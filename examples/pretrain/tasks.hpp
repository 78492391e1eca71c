// SPDX-License-Identifier: Apache-2.0
/// \file tasks.hpp
/// Three tasks for adapters, on which the base model was not trained.
///
/// | task   | example                                                                                            |
/// |--------|----------------------------------------------------------------------------------------------------|
/// | iso    | `iso date: Tuesday, 3 Mar 1987 =>` ` 1987-03-03`                                                   |
/// | shell  | `shell: how does cloud.md end? twelve lines please =>` ` tail -n 12 cloud.md`                      |
/// | record | `record: 312 euros from Anna Brown for tea (Mar 3, 1987) =>`                                       |
/// |        | ` {"name": "Anna Brown", "item": "tea", "price": 312, "date": "1987-03-03"}`                       |
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pretrain/document.hpp"
#include "pretrain/words.hpp"

namespace veneer::pretrain {

/// Eleven formats: four of the base's, then seven new ones. With 33,600 dates and any of seven week days in one form
/// there are 33,600 * (10 + 7) = 571,200 inputs.
inline constexpr std::array<std::string_view, 11> iso_forms{
    "<month> <d>, <yyyy>",
    "<d> <month> <yyyy>",
    "the <nth> of <month> <yyyy>",
    "the <ordinal> of <month>, <yyyy>",
    "<mon> <nth>, <yyyy>",
    "<week day>, <d> <mon> <yyyy>",
    "<month> the <ordinal>, <yyyy>",
    "<yyyy>, <mon> <d>",
    "<dd>.<mm>.<yyyy>",
    "<d> <mon> '<yy>",  // 50 and above are years of the 20th century, since all dates are within 1950..2049
    "<m>/<d>/<yyyy>"};

inline constexpr std::string_view iso_form = "<yyyy>-<mm>-<dd>";

inline Document draw_iso(SplitMix64& random) {
  const Date date = draw_date(random);
  const Slots slots = date_slots(date, random.pick(week_days));
  return make_document("iso date", substitute(random.pick(iso_forms), slots), substitute(iso_form, slots));
}

/// A command and the requests for it. Slots: f, g files; d folder; e extension; w, v words; s stem; N an amount in
/// digits or words, n the same in digits.
struct ShellCommand {
  std::vector<std::string_view> phrasings;
  std::string_view command;
};

/// Returns the commands on the lines of one file.
inline std::vector<ShellCommand> shell_commands_on_lines() {
  return {
      {{"show the first <N> lines of <f>", "print the top <N> lines of <f>", "give me the first <N> lines from <f>"},
       "head -n <n> <f>"},
      {{"show the last <N> lines of <f>", "print the bottom <N> lines of <f>", "how does <f> end? <N> lines please"},
       "tail -n <n> <f>"},
      {{"how many lines are in <f>?", "count the lines of <f>", "line count of <f>"}, "wc -l <f>"},
      {{"how many words are in <f>?", "count the words of <f>", "word count of <f>"}, "wc -w <f>"},
      {{"find lines with <w> in <f>", "where does <f> mention <w>?", "search <f> for <w>"}, "grep -n <w> <f>"},
      {{"show the lines of <f> without <w>", "hide lines with <w> in <f>"}, "grep -v <w> <f>"},
      {{"how often does <f> mention <w>?", "count lines with <w> in <f>"}, "grep -c <w> <f>"},
      {{"sort <f>", "put the lines of <f> in order"}, "sort <f>"},
      {{"sort <f> backwards", "sort <f> from the end"}, "sort -r <f>"},
      {{"sort <f> and drop duplicates", "unique lines of <f>"}, "sort -u <f>"},
      {{"sort <f> by column <N>", "order <f> by its column <N>"}, "sort -k <n> <f>"},
      {{"first <N> lines of <f> in order", "sort <f> and show <N> lines"}, "sort <f> | head -n <n>"},
      {{"show column <N> of <f>", "cut column <N> out of <f>"}, "cut -f <n> <f>"},
      {{"replace <w> by <v> in <f>", "change every <w> to <v> in <f>"}, "sed -i s/<w>/<v>/g <f>"},
      {{"delete line <N> of <f>", "drop line <N> from <f>"}, "sed -i <n>d <f>"},
      {{"compare <f> and <g>", "what differs between <f> and <g>?"}, "diff <f> <g>"},
  };
}

/// Returns the commands that move files or list folders.
inline std::vector<ShellCommand> shell_commands_on_folders() {
  return {
      {{"copy <f> to <d>", "put a copy of <f> into <d>"}, "cp <f> <d>/"},
      {{"move <f> to <d>", "put <f> into <d>"}, "mv <f> <d>/"},
      {{"rename <f> to <g>", "call <f> <g> from now on"}, "mv <f> <g>"},
      {{"make a folder <d>", "create the directory <d>", "I need a new folder called <d>"}, "mkdir -p <d>"},
      {{"find all <e> files in <d>", "which <e> files are under <d>?"}, "find <d> -name \"*.<e>\""},
      {{"find files in <d> bigger than <N> megabytes", "what in <d> is larger than <N> megabytes?"},
       "find <d> -size +<n>M"},
      {{"find files in <d> changed in the last <N> days", "what changed in <d> within <N> days?"},
       "find <d> -mtime -<n>"},
      {{"search all of <d> for <w>", "which files in <d> mention <w>?"}, "grep -rl <w> <d>"},
      {{"how big is <d>?", "size of <d> please"}, "du -sh <d>"},
      {{"list <d> newest first", "what is new in <d>?"}, "ls -t <d>"},
      {{"list <d> by size", "biggest files of <d> first"}, "ls -S <d>"},
      {{"the <N> biggest files of <d>", "top <N> files of <d> by size"}, "ls -S <d> | head -n <n>"},
      {{"how many <e> files are in <d>?", "count the <e> files of <d>"}, "ls <d>/*.<e> | wc -l"},
      {{"pack <d> into <s>.tar.gz", "make an archive <s>.tar.gz of <d>"}, "tar czf <s>.tar.gz <d>"},
      {{"unpack <s>.tar.gz into <d>", "extract <s>.tar.gz to <d>"}, "tar xzf <s>.tar.gz -C <d>"},
      {{"download <s>.com/<f>", "get <f> from <s>.com"}, "curl -O https://<s>.com/<f>"},
  };
}

inline const std::vector<ShellCommand>& shell_commands() {
  static const std::vector<ShellCommand> commands = [] {
    std::vector<ShellCommand> all = shell_commands_on_lines();
    for (ShellCommand& command : shell_commands_on_folders()) all.push_back(std::move(command));
    return all;
  }();
  return commands;
}

/// Draws a file with another name than `file`, in a bounded number of draws.
inline std::string draw_other_file(SplitMix64& random, const std::string& file) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string other = draw_file(random);
    if (other != file) return other;
  }
  throw Error("draw_other_file(random, file): 100 draws gave the same file; the random stream is broken");
}

inline Document draw_shell(SplitMix64& random) {
  const ShellCommand& command = random.pick(shell_commands());
  const std::string_view phrasing = random.pick(command.phrasings);
  const Amount amount = draw_amount(random, 2, 99);
  const std::string file = draw_file(random);
  const std::size_t word = random.below(plain_words.size());
  const std::size_t other_word = (word + 1 + random.below(plain_words.size() - 1)) % plain_words.size();
  const Slots slots{{"N", amount.text},
                    {"n", std::to_string(amount.value)},
                    {"f", file},
                    {"g", draw_other_file(random, file)},
                    {"d", draw_folder(random)},
                    {"e", std::string(random.pick(extensions))},
                    {"w", std::string(plain_words[word])},
                    {"v", std::string(plain_words[other_word])},
                    {"s", draw_stem(random)}};
  return make_document("shell", substitute(phrasing, slots), substitute(command.command, slots));
}

inline constexpr std::array<std::string_view, 8> record_forms{
    "<name> paid <amount> <currency> for <item> on <date>.",
    "On <date> <name> bought <item> for <amount> <currency>.",
    "<item> for <name>, <amount> <currency>, due <date>",
    "Please bill <name> <amount> <currency> for <item>, <date>.",
    "<date>: <item>, <amount> <currency>, from <name>",
    "we owe <name> <amount> <currency> for the <item> of <date>",
    "<amount> <currency> from <name> for <item> (<date>)",
    "<name> sold us <item> on <date> and wants <amount> <currency>."};

/// The base's five formats and four new ones.
inline constexpr std::array<std::string_view, 9> record_date_forms{"<month> <d>, <yyyy>",
                                                                   "<d> <month> <yyyy>",
                                                                   "the <nth> of <month> <yyyy>",
                                                                   "<mon> <d>, <yyyy>",
                                                                   "the <ordinal> of <month>, <yyyy>",
                                                                   "<mon> <nth>, <yyyy>",
                                                                   "<month> the <ordinal>, <yyyy>",
                                                                   "<dd>.<mm>.<yyyy>",
                                                                   "<m>/<d>/<yyyy>"};

inline Document draw_record(SplitMix64& random) {
  const Date date = draw_date(random);
  const Amount amount = draw_amount(random);
  Slots slots = date_slots(date);
  const std::string written = substitute(random.pick(record_date_forms), slots);
  slots = joined(std::move(slots), {{"date", written},
                                    {"amount", amount.text},
                                    {"digits", std::to_string(amount.value)},
                                    {"name", draw_name(random)},
                                    {"currency", std::string(random.pick(currencies))},
                                    {"item", std::string(random.pick(items))}});
  constexpr std::string_view answer =
      "{\"name\": \"<name>\", \"item\": \"<item>\", \"price\": <digits>, \"date\": \"<yyyy>-<mm>-<dd>\"}";
  return make_document("record", substitute(random.pick(record_forms), slots), substitute(answer, slots));
}

struct Task {
  std::string_view name;
  Draw draw;
};

inline constexpr std::array<Task, 3> tasks{{{"iso", draw_iso}, {"shell", draw_shell}, {"record", draw_record}}};

}  // namespace veneer::pretrain
