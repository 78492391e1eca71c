// SPDX-License-Identifier: Apache-2.0
/// \file grammar_test.cpp
/// Laws of the synthetic language, of its tokenizer and of the shipped files: splits are disjoint, draws repeat
/// exactly, a prompt has one answer, a task has only targets that the base can write, and a prompt and its completion
/// encoded separately give the same ids as together.
#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "pretrain/data_files.hpp"
#include "support/catch.hpp"

namespace grammar_test {

using namespace veneer::pretrain;

namespace {

/// Returns all generators with a prompt: the skills of the base and the new tasks.
std::vector<Task> skills_and_tasks() {
  std::vector<Task> all(tasks.begin(), tasks.end());
  for (const Skill& skill : skills) all.push_back({skill.name, skill.draw});
  return all;
}

std::vector<Document> draws_of(Draw draw, std::uint64_t seed, std::size_t count) {
  SplitMix64 random(seed);
  std::vector<Document> documents;
  while (documents.size() < count) documents.push_back(draw(random));
  return documents;
}

std::unordered_set<std::string> prompts_of(const std::vector<Document>& documents) {
  std::unordered_set<std::string> prompts;
  for (const Document& document : documents) prompts.insert(document.prompt);
  return prompts;
}

const std::vector<Merge>& shipped_merges() {
  static const std::vector<Merge> merges = train_shipped_merges();
  return merges;
}

/// Returns 2,000 documents: half of the base, the rest of the new tasks.
std::vector<Document> documents_to_encode() {
  std::vector<Document> documents = BaseStream(seeds::base_training).take(1001);
  for (const Task& task : tasks) {
    const auto drawn = draws_of(task.draw, 11, 333);
    documents.insert(documents.end(), drawn.begin(), drawn.end());
  }
  return documents;
}

std::string date_in(std::string_view form, const Date& date, std::string_view week_day = {}) {
  return substitute(form, date_slots(date, week_day));
}

std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

}  // namespace

TEST_CASE("SplitMix64 and FNV-1a give their published values") {
  SplitMix64 random(1234567);
  CHECK(random.next() == 6457827717110365317u);
  CHECK(random.next() == 3203168211198807973u);
  CHECK(random.next() == 9817491932198370423u);
  CHECK(fnv1a("") == 0xCBF29CE484222325u);
  CHECK(fnv1a("a") == 0xAF63DC4C8601EC8Cu);
  CHECK(fnv1a("foobar") == 0x85944171F73967E8u);
}

TEST_CASE("between() and one_in() stay within their bounds and reach them") {
  SplitMix64 random(1);
  std::set<int> seen;
  int hits = 0;
  for (int i = 0; i < 3000; ++i) {
    seen.insert(random.between(-1, 3));
    hits += random.one_in(3) ? 1 : 0;
  }
  CHECK(seen == std::set<int>{-1, 0, 1, 2, 3});
  CHECK(hits > 900);
  CHECK(hits < 1100);
}

TEST_CASE("the splits of a skill or task share no prompt and hold a tenth each") {
  for (const Task& task : skills_and_tasks()) {
    INFO(task.name);
    const auto training = prompts_of(collect(task.draw, {1001, Split::training, 500}));
    const auto validation = prompts_of(collect(task.draw, {1001, Split::validation, 50}));
    const auto test = prompts_of(collect(task.draw, {1001, Split::test, 50}));
    CHECK(training.size() == 500);
    CHECK(validation.size() == 50);
    CHECK(test.size() == 50);
    for (const std::string& prompt : training) REQUIRE(split_of(prompt) == Split::training);
    for (const std::string& prompt : validation) REQUIRE(split_of(prompt) == Split::validation);
    for (const std::string& prompt : test) REQUIRE(split_of(prompt) == Split::test);
  }
  std::array<int, 3> held{};
  for (const std::string& prompt : prompts_of(draws_of(draw_iso, 3, 10'000))) {
    ++held.at(static_cast<std::size_t>(split_of(prompt)));
  }
  CHECK(held[static_cast<std::size_t>(Split::test)] > 900);  // 1000 +- 30 is one stddev
  CHECK(held[static_cast<std::size_t>(Split::test)] < 1100);
  CHECK(held[static_cast<std::size_t>(Split::validation)] > 900);
  CHECK(held[static_cast<std::size_t>(Split::validation)] < 1100);
}

TEST_CASE("the stream to pre-train on shows no prompt of validation or test") {
  int prose = 0;
  const int count = 20'000;
  BaseStream stream(seeds::base_training);
  for (int i = 0; i < count; ++i) {
    const Document document = stream.next();
    if (document.prompt.empty()) {
      ++prose;
    } else {
      REQUIRE(split_of(document.prompt) == Split::training);
    }
  }
  CHECK(prose > count * 15 / 100);  // 16 %
  CHECK(prose < count * 17 / 100);
}

TEST_CASE("a search for held-out prompts ends where a skill has too few") {
  const auto found = collect(draw_next, {seeds::base_test, Split::test, 500});
  CHECK(found.size() == 99);
  CHECK(prompts_of(found).size() == found.size());
  CHECK_THROWS_AS(collect_all(draw_next, {seeds::base_test, Split::test, 100}), veneer::Error);
}

TEST_CASE("the same seed gives the same documents, on every compiler") {
  const auto documents = BaseStream(seeds::base_training).take(1000);
  CHECK(documents == BaseStream(seeds::base_training).take(1000));
  CHECK(documents != BaseStream(seeds::base_training + 1).take(1000));
  std::uint64_t base_hash = fnv1a("");
  for (const Document& document : documents) base_hash = fnv1a(json_line(document), base_hash);
  CHECK(base_hash == 0xB2E68EF706F97245u);
  std::uint64_t task_hash = fnv1a("");
  for (const Task& task : tasks) {
    for (const Document& document : draws_of(task.draw, 5, 300)) task_hash = fnv1a(json_line(document), task_hash);
  }
  CHECK(task_hash == 0x82F096ECF5187077u);
}

TEST_CASE("a prompt has one answer") {
  std::unordered_map<std::string, std::string> answers;
  for (const Task& task : skills_and_tasks()) {
    INFO(task.name);
    for (const Document& document : draws_of(task.draw, 17, 5000)) {
      const auto [known, is_new] = answers.emplace(document.prompt, document.completion);
      REQUIRE((is_new || known->second == document.completion));
      REQUIRE(document.prompt.substr(document.prompt.size() - 3) == " =>");
      REQUIRE(document.completion.front() == ' ');
    }
  }
}

TEST_CASE("no two dates are written alike, in any form of the task iso") {
  std::unordered_set<std::string> written;
  std::size_t count = 0;
  for (int year = 1950; year < 2050; year += 3) {
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= 28; ++day) {
        for (const std::string_view form : iso_forms) {
          written.insert(date_in(form, {year, month, day}, "Sunday"));
          ++count;
        }
      }
    }
  }
  CHECK(count == 34 * 12 * 28 * 11);
  CHECK(written.size() == count);
}

TEST_CASE("a date in each form of the task iso") {
  const Date date{1987, 3, 4};
  const std::array<std::string_view, 11> expected{"March 4, 1987",
                                                  "4 March 1987",
                                                  "the 4th of March 1987",
                                                  "the fourth of March, 1987",
                                                  "Mar 4th, 1987",
                                                  "Tuesday, 4 Mar 1987",
                                                  "March the fourth, 1987",
                                                  "1987, Mar 4",
                                                  "04.03.1987",
                                                  "4 Mar '87",
                                                  "3/4/1987"};
  for (std::size_t i = 0; i < iso_forms.size(); ++i) CHECK(date_in(iso_forms[i], date, "Tuesday") == expected.at(i));
  CHECK(date_in(iso_form, date) == "1987-03-04");
  CHECK(date_in(short_date_form, date) == "03/04/1987");
  CHECK(date_in(base_date_forms[3], {2005, 12, 22}) == "Dec 22, 2005");
  CHECK(date_in(iso_forms[9], {2005, 12, 22}) == "22 Dec '05");
}

TEST_CASE("numbers and ordinals in words") {
  CHECK(number_words(0) == "zero");
  CHECK(number_words(13) == "thirteen");
  CHECK(number_words(40) == "forty");
  CHECK(number_words(100) == "one hundred");
  CHECK(number_words(342) == "three hundred forty-two");
  CHECK(number_words(910) == "nine hundred ten");
  CHECK_THROWS_AS(number_words(1000), veneer::ArgumentError);
  CHECK(ordinal(1) + ordinal(2) + ordinal(3) + ordinal(4) == "1st2nd3rd4th");
  CHECK(ordinal(11) + ordinal(12) + ordinal(13) + ordinal(20) == "11th12th13th20th");
  CHECK(ordinal(21) + ordinal(22) + ordinal(23) + ordinal(28) == "21st22nd23rd28th");
  CHECK(ordinal_words(20) == "twentieth");
  CHECK(ordinal_words(28) == "twenty-eighth");
  std::set<std::string> words;
  for (int number = 0; number < 1000; ++number) words.insert(number_words(number));
  CHECK(words.size() == 1000);
}

TEST_CASE("a pattern names its slots, and only slots that there are") {
  CHECK(substitute("sed -i s/<w>/<v>/g <f>", {{"w", "red"}, {"v", "blue"}, {"f", "a.txt"}}) ==
        "sed -i s/red/blue/g a.txt");
  CHECK(substitute("no slot =", {}) == "no slot =");
  CHECK_THROWS_AS(substitute("<f> and <g>", {{"f", "a"}}), veneer::ArgumentError);
  CHECK_THROWS_AS(substitute("<f", {{"f", "a"}}), veneer::ArgumentError);
}

TEST_CASE("answers follow from their prompts") {
  const auto input_of = [](const Document& document) {
    const auto begin = document.prompt.find(": ") + 2;
    return document.prompt.substr(begin, document.prompt.size() - begin - 3);
  };
  const auto words_in = [](const std::string& text) {
    std::istringstream stream(text);
    return std::vector<std::string>(std::istream_iterator<std::string>(stream), {});
  };
  for (const Document& document : draws_of(draw_reverse, 2, 200)) {
    auto words = words_in(input_of(document));
    std::reverse(words.begin(), words.end());
    REQUIRE(words == words_in(document.completion));
  }
  for (const Document& document : draws_of(draw_ask, 2, 500)) {  // copied, so the answer is in the sentence
    REQUIRE(input_of(document).find(document.completion.substr(1)) != std::string::npos);
  }
  for (const Document& document : draws_of(draw_fill, 2, 500)) {
    std::string filled = input_of(document);
    for (const std::string gap : {"X", "Y"}) {
      const auto place = filled.find(", " + gap + " is ");
      if (place == std::string::npos) continue;
      const auto value_begin = place + 7;  // after ", X is "
      const auto value = filled.substr(value_begin, filled.find(',', value_begin) - value_begin);
      filled.erase(place, value_begin + value.size() - place);
      filled.replace(filled.find(gap), 1, value);
    }
    REQUIRE(" " + filled == document.completion);
  }
  for (const Document& document : draws_of(draw_json, 2, 200)) {
    const auto object = nlohmann::ordered_json::parse(document.completion);
    std::string input;
    for (const auto& [key, value] : object.items()) {
      input += (input.empty() ? "" : ", ") + key + " " + (value.is_string() ? value.get<std::string>() : value.dump());
    }
    REQUIRE(input == input_of(document));
  }
  for (const Document& document : draws_of(draw_echo, 2, 500)) REQUIRE(" " + input_of(document) == document.completion);
}

TEST_CASE("every command of the task shell is asked for in each of its phrasings") {
  CHECK(shell_commands().size() == 32);
  for (const ShellCommand& command : shell_commands()) {
    INFO(command.command);
    CHECK((command.phrasings.size() == 2 || command.phrasings.size() == 3));
  }
  std::set<std::string> first_words;
  for (const Document& document : draws_of(draw_shell, 4, 3000)) {
    first_words.insert(document.completion.substr(1, document.completion.find(' ', 1) - 1));
  }
  CHECK(first_words == std::set<std::string>{"cp", "curl", "cut", "diff", "du", "find", "grep", "head", "ls", "mkdir",
                                             "mv", "sed", "sort", "tail", "tar", "wc"});
}

TEST_CASE("a new task asks for no byte that the base never writes") {
  const auto base = BaseStream(seeds::base_training).take(20'000);
  std::vector<Document> base_without_echo;
  std::copy_if(base.begin(), base.end(), std::back_inserter(base_without_echo),
               [](const Document& document) { return document.prompt.rfind("echo:", 0) != 0; });
  for (const Task& task : tasks) {
    INFO(task.name);
    CHECK(unreachable_bytes(base, draws_of(task.draw, 9, 4000)).empty());
  }
  CHECK(unreachable_bytes(base_without_echo, draws_of(draw_shell, 9, 4000)) == "*+|");
  for (int byte = ' '; byte <= '~'; ++byte) CHECK(target_bytes(base).test(static_cast<std::size_t>(byte)));
}

TEST_CASE("a new task asks for no token that the base never writes") {
  BytePairEncoder encoder(shipped_merges());
  const auto targets = [&](const std::vector<Document>& documents) {
    std::set<TokenId> ids;
    for (const Document& document : documents) {
      const EncodedDocument encoded = encoder.encode(document);
      ids.insert(encoded.ids.begin() + static_cast<std::ptrdiff_t>(encoded.first_target), encoded.ids.end());
    }
    return ids;
  };
  const auto base = targets(BaseStream(seeds::base_training).take(40'000));
  for (const Task& task : tasks) {
    INFO(task.name);
    const auto asked = targets(draws_of(task.draw, 9, 4000));
    CHECK(asked.size() > 10);
    CHECK(std::includes(base.begin(), base.end(), asked.begin(), asked.end()));
  }
}

TEST_CASE("the trainer joins the most frequent pair and breaks ties by the smaller ids") {
  BytePairTrainer trainer;
  trainer.add("abab abab zz1212 1212");
  const auto ids = ids_of_bytes("abz ");
  const auto merges = trainer.train(4);
  CHECK(merges[0] == Merge{ids[0], ids[1]});                  // a b, four times
  CHECK(merges[1] == Merge{first_merge_id, first_merge_id});  // ab ab, twice; all else once
  CHECK(merges[2] == Merge{ids[2], ids[2]});                  // z z before space z, for z has the smaller id
  CHECK(merges[3] == Merge{ids[3], first_merge_id + 1});      // space abab before space zz
  CHECK_THROWS_AS(trainer.train(6), veneer::Error);
}

TEST_CASE("merges hold no digit, and tokens are different") {
  const auto& merges = shipped_merges();
  CHECK(merges.size() == 254);
  CHECK(merges == train_shipped_merges());
  const auto tokens = token_bytes(merges);
  CHECK(tokens.size() == 512);
  std::set<std::string> different;
  for (std::size_t id = first_byte_id; id < tokens.size(); ++id) {
    different.insert(tokens[id]);
    if (id >= first_merge_id) REQUIRE(std::none_of(tokens[id].begin(), tokens[id].end(), is_digit));
  }
  CHECK(different.size() == 510);
}

TEST_CASE("a token's text encodes to that token, so `ignore_merges` changes no ids") {
  BytePairEncoder encoder(shipped_merges());
  const auto tokens = token_bytes(encoder.merges());
  for (std::size_t id = first_merge_id; id < tokens.size(); ++id) {
    REQUIRE(encoder.encode(tokens[id]) == std::vector<TokenId>{static_cast<TokenId>(id)});
  }
  CHECK(encoder.vocabulary_size() == tokens.size());
}

TEST_CASE("a prompt and its completion encode apart to the same ids as together") {
  BytePairEncoder encoder(shipped_merges());
  const auto tokens = token_bytes(encoder.merges());
  const auto documents = documents_to_encode();
  CHECK(documents.size() == 2000);
  for (const Document& document : documents) {
    const EncodedDocument apart = encoder.encode(document);
    std::vector<TokenId> together = encoder.encode(document.prompt + document.completion);
    together.insert(together.begin(), begin_of_text);
    together.push_back(end_of_text);
    REQUIRE(apart.ids == together);
    REQUIRE(apart.ids.size() <= 128);
    std::string text;
    for (const TokenId id : apart.ids) text += tokens.at(static_cast<std::size_t>(id));
    REQUIRE(text == document.prompt + document.completion);
    if (document.prompt.empty()) REQUIRE(apart.first_target == 1);
  }
}

TEST_CASE("ids are those that the tokenizers library gives with the shipped file") {
  BytePairEncoder encoder(shipped_merges());
  std::uint64_t hash = fnv1a("");  // over the ids as little-endian 32-bit numbers; tokenizers 0.23.3
  for (const Document& document : BaseStream(seeds::base_training).take(1000)) {
    for (const TokenId id : encoder.encode(document).ids) {
      const auto low = static_cast<char>(static_cast<unsigned char>(id & 0xFF));
      const auto high = static_cast<char>(static_cast<unsigned char>(id >> 8));
      const std::array<char, 4> bytes{low, high, 0, 0};
      hash = fnv1a({bytes.data(), bytes.size()}, hash);
    }
  }
  CHECK(hash == 0x007C802116F5BA7Du);
}

TEST_CASE("the tokenizer file says what the encoder does") {
  const auto file = nlohmann::json::parse(tokenizer_json(shipped_merges()));
  const auto& model = file["model"];
  CHECK(model["vocab"].size() == 512);
  CHECK(model["vocab"][std::string(begin_of_text_name)] == begin_of_text);
  CHECK(model["vocab"][std::string(end_of_text_name)] == end_of_text);
  CHECK(model["vocab"]["!"] == first_byte_id);
  CHECK(model["vocab"]["\u0120"] == ids_of_bytes(" ")[0]);
  CHECK(model["vocab"]["\u0143"] == 257);  // byte 0xAD, the last in GPT-2's order
  CHECK(model["merges"].size() == 254);
  for (std::size_t rank = 0; rank < model["merges"].size(); ++rank) {
    const auto& pair = model["merges"][rank];
    REQUIRE(model["vocab"][pair[0].get<std::string>()] == shipped_merges()[rank].left);
    REQUIRE(model["vocab"][pair[1].get<std::string>()] == shipped_merges()[rank].right);
    REQUIRE(model["vocab"][pair[0].get<std::string>() + pair[1].get<std::string>()] == first_merge_id + TokenId(rank));
  }
  CHECK(file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == std::string(llama3_expression));
}

TEST_CASE("the shipped files are those that make_data writes") {
  const auto files = data_files();
  std::map<std::string, std::size_t> lines;
  for (const DataFile& file : files) {
    INFO(file.path);
    CHECK(bytes_of_file(std::string(VENEER_SOURCE_DIR) + "/examples/data/" + file.path) == file.bytes);
    lines[file.path] = static_cast<std::size_t>(std::count(file.bytes.begin(), file.bytes.end(), '\n'));
  }
  CHECK(files.size() == 13);
  for (const std::string task : {"iso", "shell"}) {
    CHECK(lines[task + ".train.jsonl"] == 4096);
    CHECK(lines[task + ".valid.jsonl"] == 256);
    CHECK(lines[task + ".test.jsonl"] == 512);
  }
  CHECK(lines["base.test.jsonl"] == 9 * 100 + 88 + 99);  // `digits` and `next` have no more held-out inputs
  CHECK(lines["replay.jsonl"] == 1024);
  CHECK(lines["prose.test.jsonl"] == 150);
}

TEST_CASE("a line of the shipped files reads back as its document") {
  std::vector<Document> documents = BaseStream(3).take(500);
  documents.push_back({"quote \" and backslash \\", " \\\""});
  for (const Document& document : documents) {
    const auto object = nlohmann::json::parse(json_line(document, "skill"));
    REQUIRE(object["prompt"] == document.prompt);
    REQUIRE(object["completion"] == document.completion);
    REQUIRE(object["skill"] == "skill");
  }
  CHECK_THROWS_AS(json_string("two\nlines"), veneer::ArgumentError);
}

}  // namespace grammar_test
