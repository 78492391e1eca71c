// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/examples.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace {

using namespace veneer;
using namespace veneer::test;
using Ids = std::vector<std::int32_t>;

Record text_record(const std::string& text) {
  Record record;
  record.text = text;
  return record;
}

Record prompt_record(const std::string& prompt, const std::string& completion) {
  Record record = text_record(completion);
  record.format = DatasetFormat::prompt_completion;
  record.prompt = prompt;
  return record;
}

}  // namespace

TEST_CASE("records become the reference's ids and labels", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const ExampleMaker maker(&tokenizer);
  std::map<std::pair<std::string, std::size_t>, Json> expected;
  for (const Json& row : read_rows(text_data() / "datasets" / "tokenised.jsonl")) {
    expected[{row.at("file").get<std::string>(), row.at("line").get<std::size_t>()}] = row;
  }
  CHECK(expected.size() == 38);
  std::size_t compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(text_data() / "datasets" / "ok")) {
    const std::string name = entry.path().filename().string();
    if (expected.count({name, 1}) == 0 || name == "alpaca.jsonl") continue;
    DatasetReader reader(entry.path());
    Record record;
    while (reader.next(record)) {
      CAPTURE(name, record.line);
      const Json& row = expected.at({name, record.line});
      const Example example = maker.make(record);
      CHECK(example.ids == to_ids(row.at("ids")));
      CHECK(example.labels == to_ids(row.at("labels")));
      ++compared;
    }
  }
  CHECK(compared == 34);  // all but the four of the instruction form
}

TEST_CASE("labels are ids or ignored, and the prompt decides which", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("gpt2-tiny");
  const std::string whole = "The quick brown fox jumps over the lazy dog. 12345";
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const Record record = prompt_record(whole.substr(0, cut), whole.substr(cut));
    const Example learned = ExampleMaker(&tokenizer).make(record);
    const Example all = ExampleMaker(&tokenizer, {.train_on = TrainOn::all}).make(record);
    REQUIRE(learned.ids == all.ids);
    REQUIRE(all.labels == all.ids);
    REQUIRE(learned.labels.back() == tokenizer.eos_id());
    bool reached = false;
    for (std::size_t i = 0; i < learned.ids.size(); ++i) {
      const bool is_learned = learned.labels[i] != ignored_label;
      if (is_learned) REQUIRE(learned.labels[i] == learned.ids[i]);
      REQUIRE((is_learned || !reached));  // learned to the end, once it begins
      reached = is_learned;
    }
  }
}

TEST_CASE("BOS and EOS are there once", "[text]") {
  const Tokenizer llama = load_tokenizer("llama3-tiny");
  const std::int32_t bos = llama.bos_id().value();
  const std::int32_t eos = llama.eos_id().value();
  const auto count = [](const Ids& ids, std::int32_t id) { return std::count(ids.begin(), ids.end(), id); };
  for (const ExampleOptions& options : {ExampleOptions{}, ExampleOptions{.bos_id = bos}}) {
    for (const char* text : {"a", "<|begin_of_text|>a", "a<|eot_id|>", "<|begin_of_text|>a<|eot_id|>"}) {
      const Example example = ExampleMaker(&llama, options).make(text_record(text));
      CAPTURE(text);
      CHECK(count(example.ids, bos) == 1);
      CHECK(count(example.ids, eos) == 1);
      CHECK(example.ids.front() == bos);
      CHECK(example.labels.front() == ignored_label);
      CHECK(example.labels.back() == eos);
    }
  }
  const Tokenizer qwen = load_tokenizer("qwen2-tiny");  // its template adds nothing, its configuration names no BOS
  CHECK(ExampleMaker(&qwen).make(text_record("a")).ids == Ids{qwen.id("a").value(), qwen.eos_id().value()});
  const std::int32_t start = qwen.id("<|im_start|>").value();
  CHECK(ExampleMaker(&qwen, {.bos_id = start}).make(text_record("a")).ids.front() == start);
  CHECK(ExampleMaker(&qwen, {.add_eos = false}).make(text_record("a")).ids == Ids{qwen.id("a").value()});
}

TEST_CASE("an empty completion still teaches to stop", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const std::int32_t eos = tokenizer.eos_id().value();
  for (const char* prompt : {"a", "a<|eot_id|>"}) {
    const Example example = ExampleMaker(&tokenizer).make(prompt_record(prompt, ""));
    CHECK(example.labels.back() == eos);
    CHECK(std::count(example.labels.begin(), example.labels.end(), ignored_label) + 1 ==
          static_cast<std::ptrdiff_t>(example.labels.size()));
  }
}

TEST_CASE("special tokens in a text can be left as text", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const std::int32_t eos = tokenizer.eos_id().value();
  const Example example = ExampleMaker(&tokenizer, {.parse_special_tokens = false}).make(text_record("a<|eot_id|>b"));
  CHECK(std::count(example.ids.begin(), example.ids.end(), eos) == 1);
  CHECK(tokenizer.decode(example.ids, true) == "a<|eot_id|>b");
}

TEST_CASE("what is too long is cut and counted, what can't teach is dropped", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  DatasetReport report;
  std::vector<Example> examples;
  const ExampleMaker maker(&tokenizer, {.max_length = 6});
  const auto add = [&](const Record& record) {
    maker.make(record, report, [&](Example example) { examples.push_back(std::move(example)); });
  };
  add(text_record("a"));
  add(text_record("1 2 3 4 5 6 7 8 9"));
  add(prompt_record("1 2 3 4 5 6 7 8 9", "10"));
  CHECK(report.records == 3);
  CHECK(report.examples == 2);
  CHECK(report.truncated == 2);
  CHECK(report.unlearned.count() == 1);
  REQUIRE(examples.size() == 2);
  CHECK(examples[0].ids.size() == 3);
  CHECK(examples[1].ids.size() == 6);
  CHECK(examples[1].labels.size() == 6);
  CHECK(report.tokens == 9);
  CHECK(report.learned == 7);
}

TEST_CASE("a plain text is cut into windows that join to the whole", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  Record record = text_record("First paragraph.\nStill first.\n\nSecond paragraph.\n");
  record.format = DatasetFormat::plain;
  const Example whole = ExampleMaker(&tokenizer).make(record);
  for (std::size_t length = 2; length < 12; ++length) {
    DatasetReport report;
    Example joined;
    ExampleMaker(&tokenizer, {.max_length = length}).make(record, report, [&](const Example& part) {
      CHECK(part.ids.size() <= length);
      joined.ids.insert(joined.ids.end(), part.ids.begin(), part.ids.end());
      joined.labels.insert(joined.labels.end(), part.labels.begin(), part.labels.end());
    });
    CHECK(report.truncated == 0);
    // A last window of one token has nothing to learn: no token comes before it.
    const std::size_t lost = whole.ids.size() % length == 1 ? 1 : 0;
    CHECK(report.unlearned.count() == lost);
    CHECK(joined.ids == Ids(whole.ids.begin(), whole.ids.end() - static_cast<std::ptrdiff_t>(lost)));
    CHECK(joined.labels == Ids(whole.labels.begin(), whole.labels.end() - static_cast<std::ptrdiff_t>(lost)));
  }
}

TEST_CASE("a file is read and tokenised in one go", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const auto file = text_data() / "datasets" / "ok" / "empty-targets.jsonl";
  const ExampleSet set = load_examples(file, &tokenizer);
  CHECK(set.report.format == DatasetFormat::prompt_completion);
  CHECK(set.report.records == 2);
  CHECK(set.examples.size() == 2);
  CHECK(set.report.empty.first() == std::vector<DatasetNote>{{2, DatasetReason::empty_text}});
  CHECK(set.report.warnings.first() == std::vector<DatasetNote>{{1, DatasetReason::empty_target}});
  CHECK_THROWS_WITH(load_examples(file, &tokenizer, {.rows = 100}), Catch::Contains("100 rows"));
  CHECK_THROWS_AS(load_examples(file, nullptr), ArgumentError);
}

TEST_CASE("EOS must be known or not wanted", "[text]") {
  const Tokenizer tokenizer = Tokenizer::from_file(text_data() / "tokenizers" / "gpt2-tiny" / "tokenizer.json");
  CHECK_THROWS_WITH(ExampleMaker(&tokenizer), Catch::Contains("eos_token"));
  CHECK(ExampleMaker(&tokenizer, {.eos_id = 7}).make(text_record("a")).ids.back() == 7);
}
