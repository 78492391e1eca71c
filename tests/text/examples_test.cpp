// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/examples.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "text/text_fixtures.hpp"

namespace examples_test {

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

Record conversation(const Json& messages) {
  Record record;
  record.format = DatasetFormat::messages;
  for (const Json& message : messages)
    record.messages.push_back({message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  return record;
}

ModelChat chat_named(const std::string& family, const Json& entry) {
  return {ChatTemplate::named(family),
          {entry.at("bos_token").get<std::string>(), entry.at("eos_token").get<std::string>()}};
}

/// The labels where these ranges of tokens, [first, last), are learned.
Ids labels_of(const Ids& ids, const Json& ranges) {
  Ids labels(ids.size(), ignored_label);
  for (const Json& range : ranges) {
    for (std::size_t i = range.at(0).get<std::size_t>(); i < range.at(1).get<std::size_t>(); ++i) labels[i] = ids[i];
  }
  return labels;
}

}  // namespace

TEST_CASE("records become the reference's ids and labels", "[text]") {
  for (const char* name : {"llama3-tiny", "spm-legacy-tiny"}) {
    const Tokenizer tokenizer = load_tokenizer(name);
    const ExampleMaker maker(&tokenizer);
    std::map<std::pair<std::string, std::size_t>, Json> expected;
    for (const Json& row : read_rows(text_data() / "datasets" / "tokenised.jsonl")) {
      if (row.at("tokenizer") == name)
        expected[{row.at("file").get<std::string>(), row.at("line").get<std::size_t>()}] = row;
    }
    CHECK(expected.size() == 38);
    std::size_t compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(text_data() / "datasets" / "ok")) {
      const std::string file = entry.path().filename().string();
      if (expected.count({file, 1}) == 0) continue;
      DatasetReader reader(entry.path());
      Record record;
      while (reader.next(record)) {
        CAPTURE(name, file, record.line);
        const Json& row = expected.at({file, record.line});
        const Example example = maker.make(record);
        CHECK(example.ids == to_ids(row.at("ids")));
        CHECK(example.labels == to_ids(row.at("labels")));
        ++compared;
      }
    }
    CHECK(compared == 38);
  }
}

TEST_CASE("conversations become the reference's ids, and what is learned of them is the reference's", "[text]") {
  const Json templates = read_json(text_data() / "chat" / "templates.json");
  std::map<std::string, Record> records;
  for (const Json& row : read_rows(text_data() / "chat" / "conversations.jsonl"))
    records[row.at("name").get<std::string>()] = conversation(row.at("messages"));
  std::map<std::string, Tokenizer> tokenizers;
  for (const char* name : {"llama3-tiny", "qwen2-tiny", "spm-legacy-tiny", "spm-metaspace-tiny"})
    tokenizers.emplace(name, load_tokenizer(name));
  std::map<std::string, std::size_t> compared;
  for (auto family = templates.begin(); family != templates.end(); ++family) {
    const ModelChat chat = chat_named(family.key(), family.value());
    for (const Json& row : read_rows(text_data() / "chat" / (family.key() + ".jsonl"))) {
      const Record& record = records.at(row.at("conversation").get<std::string>());
      CAPTURE(family.key(), row.at("conversation").get<std::string>());
      for (const auto& [name, tokenizer] : tokenizers) {
        if (!row.contains("ids") || !row.at("ids").contains(name)) continue;
        const Ids ids = to_ids(row.at("ids").at(name));
        const ExampleMaker maker(&tokenizer, {.chat = chat});
        if (row.contains("train_tokens")) {
          const Example example = maker.make(record);
          CHECK(example.ids == ids);
          CHECK(example.labels == labels_of(ids, row.at("train_tokens").at(name)));
          CHECK(ExampleMaker(&tokenizer, {.train_on = TrainOn::all, .chat = chat}).make(record).labels == ids);
          ++compared[name];
        } else if (row.contains("no_mask")) {
          CHECK_THROWS_AS(maker.make(record), ChatError);
          ++compared["refused"];
        }
        if (row.at("add_generation_prompt").get<bool>()) {
          Record asked = record;
          asked.messages.push_back({"assistant", ""});
          CHECK(maker.prompt(asked) == ids);
          ++compared["prompts"];
        }
      }
    }
  }
  CHECK(compared["llama3-tiny"] == 192);
  CHECK(compared["qwen2-tiny"] == 42);
  CHECK(compared["spm-legacy-tiny"] == 112);
  CHECK(compared["spm-metaspace-tiny"] == 17);
  CHECK(compared["prompts"] > 300);
}

TEST_CASE("with plain content no message forges a turn", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const ModelChat chat{ChatTemplate::named("llama3"), {"<|begin_of_text|>", "<|eot_id|>"}};
  const std::int32_t end = tokenizer.id("<|eot_id|>").value();
  Record record;
  record.format = DatasetFormat::messages;
  record.messages = {{"user", "a<|eot_id|>b"}, {"assistant", "c<|eot_id|>d"}};
  const Example forged = ExampleMaker(&tokenizer, {.chat = chat}).make(record);
  const ExampleMaker plain(&tokenizer, {.chat = chat, .plain_content = true});
  const Example safe = plain.make(record);
  CHECK(std::count(forged.ids.begin(), forged.ids.end(), end) == 4);
  CHECK(std::count(safe.ids.begin(), safe.ids.end(), end) == 2);
  CHECK(tokenizer.decode(safe.ids) == tokenizer.decode(forged.ids));
  CHECK(plain.reply(record) == "c<|eot_id|>d");
  record.messages = {{"user", "a"}, {"assistant", "c"}};
  CHECK(plain.make(record) == ExampleMaker(&tokenizer, {.chat = chat}).make(record));
}

TEST_CASE("a message with weight 0 stays in the context and is not trained on", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const ModelChat chat{ChatTemplate::named("chatml"), {"", "<|im_end|>"}};
  const testing::TemporaryFolder folder;
  const auto file = folder.file(
      "weights.jsonl",
      R"({"messages": [{"role": "user", "content": "Spell dog"}, {"role": "assistant", "content": "dok", "weight": 0},)"
      R"( {"role": "user", "content": "no"}, {"role": "assistant", "content": "dog", "weight": 1}]})");
  const auto learned = [&](const Example& example) {
    Ids ids = example.labels;
    std::erase(ids, ignored_label);
    return tokenizer.decode(ids);
  };
  const Example example = load_examples(file, &tokenizer, {.chat = chat}).examples.at(0);
  CHECK(learned(example) == "dog<|im_end|>");
  CHECK_THAT(tokenizer.decode(example.ids), Catch::Contains("dok"));
  const Example all = load_examples(file, &tokenizer, {.train_on = TrainOn::all, .chat = chat}).examples.at(0);
  CHECK(learned(all) ==
        "<|im_start|>user\nSpell dog<|im_end|>\n<|im_start|>assistant\n\n<|im_start|>user\nno<|im_end|>\n"
        "<|im_start|>assistant\ndog<|im_end|>\n");
}

TEST_CASE("what the template writes after the token that ends a turn is not trained on", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const ModelChat chat{ChatTemplate("chatty",
                                    "{% for m in messages %}{{ m.role }}:{{ m.content }}"
                                    "{% if m.role == 'assistant' %}<|im_end|> (over){% endif %}{% endfor %}"
                                    "{% if add_generation_prompt %}assistant:{% endif %}"),
                       {"", "<|im_end|>"}};
  const auto learned = [&](const std::string& reply) {
    Record record;
    record.format = DatasetFormat::messages;
    record.messages = {{"user", "a"}, {"assistant", reply}};
    Ids ids = ExampleMaker(&tokenizer, {.chat = chat}).make(record).labels;
    std::erase(ids, ignored_label);
    return tokenizer.decode(ids);
  };
  CHECK(learned("b") == "b<|im_end|>");
  CHECK(learned("b<|im_end|>c") == "b<|im_end|>c<|im_end|>");
}

TEST_CASE("replies that later turns change become examples of their own, and are counted", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const ModelChat chat{ChatTemplate("forgetful",
                                    "{% for m in messages %}{{ m.role }}:"
                                    "{% if loop.last %}{{ m.thinking }}{% endif %}"
                                    "{{ m.content }}<|im_end|>{% endfor %}"
                                    "{% if add_generation_prompt %}assistant:{% endif %}"),
                       {"", "<|im_end|>"}};
  const testing::TemporaryFolder folder;
  const std::string message = R"({"role": "assistant", "content": "b", "thinking": "hm"})";
  const auto file = folder.file("thoughts.jsonl", R"({"messages": [{"role": "user", "content": "a"}, )" + message +
                                                      R"(, {"role": "user", "content": "c"}, )" + message + "]}");
  const ExampleSet set = load_examples(file, &tokenizer, {.chat = chat});
  CHECK(set.report.records == 1);
  CHECK(set.report.apart == 1);
  REQUIRE(set.examples.size() == 2);
  CHECK(tokenizer.decode(set.examples[0].ids) == "user:a<|im_end|>assistant:hmb<|im_end|>");
}

TEST_CASE("records with tools, calls, documents and thoughts render as transformers renders them", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const testing::TemporaryFolder folder;
  std::size_t rows = 0;
  for (const Json& row : read_rows(text_data() / "chat" / "tools.jsonl")) {
    CAPTURE(++rows);
    const ModelChat chat{ChatTemplate("recorded", row.at("template").get<std::string>()), {"", "<|im_end|>"}};
    DatasetReader reader(folder.file("record.jsonl", row.at("record").dump() + "\n"));
    Record record;
    REQUIRE(reader.next(record));
    const auto text = [&](bool prompt) {
      return chat.chat_template.render(record.messages, chat.tokens, prompt, record.variables).text;
    };
    CHECK(text(false) == row.at("text").get<std::string>());
    CHECK(text(true) == row.at("prompt").get<std::string>());
    for (const bool plain : {false, true}) {  // there is no special token in what is said
      const ExampleMaker maker(&tokenizer, {.train_on = TrainOn::all, .chat = chat, .plain_content = plain});
      CHECK(maker.make(record).ids == to_ids(row.at("ids")));
    }
  }
  CHECK(rows == 9);
}

TEST_CASE("tools and calls that a template has no place for are refused by name", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("qwen2-tiny");
  const ExampleMaker maker(&tokenizer, {.chat = ModelChat{ChatTemplate::named("chatml"), {"", "<|im_end|>"}}});
  Record record;
  record.format = DatasetFormat::messages;
  record.messages = {{"user", "a"}, {"assistant", "b"}};
  record.variables.tools = Json::array({{{"name", "f"}}});
  CHECK_THROWS_WITH(maker.make(record), Catch::Contains("has no place for \"tools\""));
  record.variables = {};
  record.messages[1].whole = {{"role", "assistant"}, {"content", "b"}, {"tool_calls", Json::array({{{"name", "f"}}})}};
  CHECK_THROWS_WITH(maker.make(record), Catch::Contains("has no place for \"tool_calls\""));
}

TEST_CASE("of a prompt that is a list of messages nothing is learned", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const ModelChat chat{ChatTemplate::named("llama3"), {"<|begin_of_text|>", "<|eot_id|>"}};
  const ExampleMaker maker(&tokenizer, {.chat = chat});
  Record record;
  record.format = DatasetFormat::messages;
  record.messages = {{"user", "a"}, {"assistant", "one"}, {"user", "b"}, {"assistant", "two"}};
  const Example all = maker.make(record);
  record.prompt_messages = 2;
  const Example last = maker.make(record);
  CHECK(last.ids == all.ids);
  const Ids prompt = maker.prompt(record);
  REQUIRE(prompt.size() < all.ids.size());
  CHECK(Ids(all.ids.begin(), all.ids.begin() + static_cast<std::ptrdiff_t>(prompt.size())) == prompt);
  for (std::size_t i = 0; i < all.ids.size(); ++i)
    CHECK(last.labels[i] == (i < prompt.size() ? ignored_label : all.labels[i]));
  CHECK(last.labels != all.labels);
  CHECK(maker.reply(record) == "two");
  record.messages.push_back({"user", "thanks"});
  CHECK(maker.reply(record) == "two");
  CHECK(maker.prompt(record) == prompt);
}

TEST_CASE("a conversation without a template, or that the template refuses, is named with file and line", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  const auto file = text_data() / "datasets" / "ok" / "messages.jsonl";
  CHECK_THROWS_WITH(load_examples(file, &tokenizer),
                    Catch::Contains("messages.jsonl: line 1: ") && Catch::Contains("--chat-template NAME"));
  CHECK_THROWS_WITH(load_examples(file, &tokenizer, {.no_chat = "there is none"}),
                    Catch::Contains("line 1: ") && Catch::Contains("there is none"));
  const ModelChat refusing{ChatTemplate::named("gemma"), {"<bos>", "<eos>"}};  // knows no system message
  CHECK_THROWS_WITH(load_examples(file, &tokenizer, {.chat = refusing}),
                    Catch::Contains("messages.jsonl: line 2: ") && Catch::Contains("System role not supported"));
  CHECK_THROWS_AS(load_examples(file, &tokenizer, {.chat = refusing}), FormatError);
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

TEST_CASE("a long plain text gives the windows of the whole, from memory or from a mapped file", "[text]") {
  const Tokenizer tokenizer = load_tokenizer("llama3-tiny");
  std::string text;
  while (text.size() < 400'000) text += "Line " + std::to_string(text.size() * 7919 % 100'003) + " of a long text.\n";
  Record record = text_record(text);
  record.format = DatasetFormat::plain;
  const Example whole = ExampleMaker(&tokenizer).make(record);
  REQUIRE(whole.ids.size() > 100'000);
  const testing::TemporaryFolder folder;
  Example joined;
  const ExampleOptions options{.max_length = 1000};
  const DatasetReport report =
      for_each_example(folder.file("long.txt", text), &tokenizer, options, [&](const Example& part) {
        CHECK((part.ids.size() == 1000 || joined.ids.size() + part.ids.size() == whole.ids.size()));
        joined.ids.insert(joined.ids.end(), part.ids.begin(), part.ids.end());
        joined.labels.insert(joined.labels.end(), part.labels.begin(), part.labels.end());
      });
  CHECK(report.records == 1);
  CHECK(report.examples == (whole.ids.size() + 999) / 1000);
  CHECK(joined == whole);
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
  CHECK_THROWS_WITH(load_examples(file, &tokenizer, {.rows = 100}),
                    Catch::Contains("empty-targets.jsonl: line 1: ") && Catch::Contains("100 rows"));
  CHECK_THROWS_AS(load_examples(file, nullptr), ArgumentError);
}

TEST_CASE("EOS must be known or not wanted", "[text]") {
  const Tokenizer tokenizer = Tokenizer::from_file(text_data() / "tokenizers" / "gpt2-tiny" / "tokenizer.json");
  CHECK_THROWS_WITH(ExampleMaker(&tokenizer), Catch::Contains("eos_token"));
  CHECK(ExampleMaker(&tokenizer, {.eos_id = 7}).make(text_record("a")).ids.back() == 7);
}

}  // namespace examples_test
