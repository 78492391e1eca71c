// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/chat_template.hpp"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "text/text_fixtures.hpp"

namespace {

using namespace veneer;
using namespace veneer::test;
using veneer::testing::TemporaryFolder;

std::filesystem::path chat_data() { return text_data() / "chat"; }

/// Those of the tokenizers in the data that can be read.
const std::map<std::string, Tokenizer>& readable_tokenizers() {
  static const std::map<std::string, Tokenizer> all = [] {
    std::map<std::string, Tokenizer> made;
    for (const char* name : {"llama3-tiny", "qwen2-tiny", "spm-legacy-tiny", "spm-metaspace-tiny"})
      made.emplace(name, load_tokenizer(name));
    return made;
  }();
  return all;
}

std::string template_text(const std::string& family) {
  return read_text(chat_data() / "templates" / (family + ".jinja"), std::size_t{1} << 20);
}

ChatTokens tokens_of(const std::string& family) {
  static const Json all = read_json(chat_data() / "templates.json");
  const Json& entry = all.at(family);
  return {entry.at("bos_token").get<std::string>(), entry.at("eos_token").get<std::string>()};
}

std::map<std::string, std::vector<Message>> conversations() {
  std::map<std::string, std::vector<Message>> all;
  for (const Json& row : read_rows(chat_data() / "conversations.jsonl")) {
    std::vector<Message>& messages = all[row.at("name").get<std::string>()];
    for (const Json& message : row.at("messages"))
      messages.push_back({message.at("role").get<std::string>(), message.at("content").get<std::string>()});
  }
  return all;
}

std::vector<ByteRange> to_ranges(const Json& list) {
  std::vector<ByteRange> ranges;
  for (const Json& pair : list) ranges.push_back({pair.at(0).get<std::size_t>(), pair.at(1).get<std::size_t>()});
  return ranges;
}

/// The tokens that begin inside a trained range, as ranges of tokens.
std::vector<ByteRange> trained_tokens(const Encoding& encoding, const std::vector<ByteRange>& trained) {
  std::vector<ByteRange> found;
  for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
    const ByteRange bytes = encoding.offsets[i];
    const bool on = bytes.end > bytes.begin && std::any_of(trained.begin(), trained.end(), [&](ByteRange range) {
                      return range.begin <= bytes.begin && bytes.begin < range.end;
                    });
    if (!on) continue;
    if (found.empty() || found.back().end != i) found.push_back({i, i});
    found.back().end = i + 1;
  }
  return found;
}

/// What the renderer says to a conversation that it must refuse.
template <class F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const ChatError& error) {
    return error.what();
  }
  return "";
}

template <class F>
std::string format_error(const F& f) {
  try {
    f();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

/// What a message says, or what the template takes of it, stands at its range.
void check_contents(const RenderedChat& chat, const std::vector<Message>& messages) {
  REQUIRE(chat.contents.size() == messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ByteRange range = chat.contents[i];
    REQUIRE(range.begin <= range.end);
    REQUIRE(range.end <= chat.text.size());
    REQUIRE((i == 0 || chat.contents[i - 1].end <= range.begin));
    CHECK_THAT(messages[i].content, Catch::Contains(chat.text.substr(range.begin, range.end - range.begin)));
  }
}

void check_training(const ChatTemplate& chat, const std::vector<Message>& messages, const ChatTokens& tokens,
                    const Json& row) {
  if (row.contains("no_mask")) {
    const std::string found = refusal([&] { render_for_training(chat, messages, tokens); });
    CHECK_THAT(found, Catch::Contains("message 1 (assistant)") && Catch::Contains("does not render"));
    return;
  }
  const TrainingChat learned = render_for_training(chat, messages, tokens);
  CHECK(learned.text == row.at("text").get<std::string>());
  CHECK(learned.trained == to_ranges(row.at("train_spans")));
  for (std::size_t i = 0; i < learned.trained.size(); ++i) {  // the spans are those, and white space behind
    const ByteRange span = to_ranges(row.at("spans"))[i];
    CHECK(span.begin == learned.trained[i].begin);
    const std::string rest = learned.text.substr(learned.trained[i].end, span.end - learned.trained[i].end);
    CHECK(rest.find_first_not_of(" \t\r\n") == std::string::npos);
  }
  for (const auto& [name, tokenizer] : readable_tokenizers()) {
    if (!row.at("train_tokens").contains(name)) continue;
    const Encoding encoding = tokenizer.encode_with_offsets(learned.text, {.add_special_tokens = false});
    CHECK(trained_tokens(encoding, learned.trained) == to_ranges(row.at("train_tokens").at(name)));
  }
}

}  // namespace

TEST_CASE("every recorded conversation renders as the reference renders it, to the byte and the id") {
  const auto all = conversations();
  std::size_t rows = 0, ids = 0, masks = 0;
  for (const std::string_view name : ChatTemplate::names()) {
    const std::string family(name);
    const ChatTemplate chat = ChatTemplate::named(family);
    const ChatTokens tokens = tokens_of(family);
    for (const Json& row : read_rows(chat_data() / (family + ".jsonl"))) {
      const std::string conversation = row.at("conversation").get<std::string>();
      const std::vector<Message>& messages = all.at(conversation);
      const bool prompt = row.at("add_generation_prompt").get<bool>();
      CAPTURE(family, conversation, prompt);
      ++rows;
      if (row.contains("error")) {
        CHECK_THAT(refusal([&] { chat.render(messages, tokens, prompt); }),
                   Catch::Contains(row.at("error").at("message").get<std::string>()));
        CHECK(!refusal([&] { render_for_training(chat, messages, tokens); }).empty());
        continue;
      }
      const RenderedChat rendered = chat.render(messages, tokens, prompt);
      CHECK(rendered.text == row.at("text").get<std::string>());
      check_contents(rendered, messages);
      for (const auto& [tokenizer_name, tokenizer] : readable_tokenizers()) {
        if (!row.at("ids").contains(tokenizer_name)) continue;
        ++ids;
        CHECK(tokenizer.encode(rendered.text, {.add_special_tokens = false}) ==
              to_ids(row.at("ids").at(tokenizer_name)));
      }
      if (prompt) continue;
      ++masks;
      check_training(chat, messages, tokens, row);
    }
  }
  CHECK(rows == 11 * 23 * 2);
  CHECK(ids == 748);  // all that were recorded
  CHECK(masks == 198);
}

TEST_CASE("a template is recognised by its text alone, to the byte") {
  for (const std::string_view name : ChatTemplate::names()) {
    const std::string text = template_text(std::string(name));
    CAPTURE(name);
    const auto known = ChatTemplate::recognise(text);
    REQUIRE(known);
    CHECK(known->name() == name);
    const std::string bare = text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
    CHECK(ChatTemplate::recognise(bare)->name() == name);
    CHECK(ChatTemplate::recognise(bare + "\n")->name() == name);
    CHECK(!ChatTemplate::recognise(bare + "\n\n"));
    CHECK(!ChatTemplate::recognise(bare + " "));
    for (std::size_t at = 0; at < bare.size(); at += 7) {
      std::string changed = bare;
      changed[at] = changed[at] == 'x' ? 'y' : 'x';
      CHECK(!ChatTemplate::recognise(changed));
    }
  }
  CHECK(!ChatTemplate::recognise(""));
  CHECK_THROWS_WITH(ChatTemplate::named("vicuna"), Catch::Contains("vicuna") && Catch::Contains("llama3, llama2"));
}

TEST_CASE("no message forges a turn: as many turns are encoded as there are messages") {
  const std::vector<Message> messages = conversations().at("special-tokens-in-content");
  const std::vector<std::pair<std::string, std::string>> families{{"llama3", "llama3-tiny"}, {"chatml", "qwen2-tiny"}};
  for (const auto& [family, name] : families) {
    const ChatTemplate chat = ChatTemplate::named(family);
    const ChatTokens tokens = tokens_of(family);
    const RenderedChat rendered = chat.render(messages, tokens, false);
    const Tokenizer& tokenizer = readable_tokenizers().at(name);
    const auto turns = [&](const std::vector<std::int32_t>& ids) {
      return std::count(ids.begin(), ids.end(), *tokenizer.id(chat.end_of_turn(tokens)));
    };
    CHECK(turns(tokenizer.encode(rendered.text, {.add_special_tokens = false}, rendered.contents)) == 2);
    CHECK(turns(tokenizer.encode(rendered.text, {.add_special_tokens = false})) == 3);
  }
}

TEST_CASE("a tokenizer that takes special tokens for text is refused: it would not see where a turn ends") {
  const ModelChat chat{ChatTemplate::named("llama2"), {"<s>", "</s>"}};
  const std::filesystem::path folder = text_data() / "tokenizers" / "spm-legacy-tiny";
  CHECK_NOTHROW(check_chat_tokenizer(chat, Tokenizer::from_file(folder / "tokenizer.json")));
  CHECK_THROWS_WITH(check_chat_tokenizer(chat, Tokenizer::from_file(folder / "tokenizer.model")),
                    Catch::Contains("<s>") && Catch::Contains("tokenizer.json"));
}

TEST_CASE("an error of a template names the message and says it in the template's words") {
  const std::vector<Message> roles{{"user", "a"}, {"narrator", "b"}};
  CHECK_THAT(refusal([&] {
               ChatTemplate::named("mistral-v0.2").render(roles, {"<s>", "</s>"}, true);
             }),
             Catch::Contains("mistral-v0.2") && Catch::Contains("message 2 (narrator)") &&
                 Catch::Contains("Only user and assistant roles are supported!"));
  const std::vector<Message> system{{"system", "a"}, {"user", "b"}};
  CHECK_THAT(refusal([&] {
               ChatTemplate::named("gemma").render(system, {"<bos>", "<eos>"}, true);
             }),
             Catch::Contains("message 1 (system): System role not supported"));
}

TEST_CASE("white space is stripped as Python strips it") {
  const std::string inside = "a \xC2\xA0 b";
  for (const std::string space : {"\x1C", "\x1F", "\xC2\x85", "\xE2\x80\xA8", "\xE3\x80\x80", "\t\v\f\r\n "})
    CHECK(chat::strip(space + inside + space) == inside);
  for (const std::string other : {"\xE1\xA0\x8E", "\xE2\x80\x8B", "\xEF\xBB\xBF", "\x7F"})  // U+180E, 200B, FEFF
    CHECK(chat::strip(other + inside + other) == other + inside + other);
  CHECK(chat::strip(" \n ").empty());
  CHECK(chat::strip(" \x80") == "\x80");
  CHECK(chat::strip("\xE3\x80 ") == "\xE3\x80");
}

TEST_CASE("what is learned is the same as by rendering each beginning of a conversation") {
  std::mt19937 random(3);
  const std::vector<std::string> roles{"user", "assistant", "assistant", "system", "tool", "narrator"};
  const std::vector<std::string> texts{"", " ", "one", "two\n", " <|end|>", "</s>", "\n\n", "[/INST]"};
  std::size_t compared = 0;
  for (int round = 0; round < 400; ++round) {
    std::vector<Message> messages;
    for (std::size_t i = 0, count = 1 + random() % 7; i < count; ++i) {
      const std::string& role = round % 2 == 0 ? roles[i % 2] : roles[random() % roles.size()];
      messages.push_back({role, texts[random() % texts.size()]});
    }
    for (const std::string_view name : ChatTemplate::names()) {
      const ChatTemplate chat = ChatTemplate::named(name);
      const ChatTokens tokens = tokens_of(std::string(name));
      TrainingChat learned;
      if (!refusal([&] { learned = render_for_training(chat, messages, tokens); }).empty()) continue;
      std::vector<ByteRange> expected;
      for (std::size_t i = 0; i < messages.size(); ++i) {
        if (messages[i].role != "assistant") continue;
        const std::span<const Message> all(messages);
        const std::string before = chat.render(all.first(i), tokens, true).text;
        std::string after = chat.render(all.first(i + 1), tokens, false).text;
        if (!learned.text.starts_with(after)) after.resize(after.size() - tokens.eos.size());
        REQUIRE(learned.text.starts_with(before));
        REQUIRE(learned.text.starts_with(after));
        std::size_t end = after.size();
        while (end > before.size() && std::string_view(" \t\r\n").find(after[end - 1]) != std::string_view::npos) --end;
        expected.push_back({before.size(), end});
      }
      ++compared;
      REQUIRE(learned.trained == expected);
    }
  }
  CHECK(compared > 1000);
}

TEST_CASE("a long conversation costs time in proportion to its length") {
  std::vector<Message> messages;
  for (int i = 0; i < 60000; ++i) messages.push_back({i % 2 == 0 ? "user" : "assistant", "again and again"});
  const TrainingChat learned = render_for_training(ChatTemplate::named("chatml"), messages, {"", "<|im_end|>"});
  CHECK(learned.trained.size() == 30000);  // by rendering each beginning this would take minutes
}

TEST_CASE("the template of a model's folder is found where transformers looks for it") {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  };
  const std::string zephyr = template_text("zephyr"), chatml = template_text("chatml");
  write("tokenizer_config.json", R"({"eos_token": "</s>", "model_max_length": 1000000000000000019884624838656})");
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }),
             Catch::Contains("no chat_template.jinja") && Catch::Contains("--chat-template"));

  write("tokenizer_config.json",
        Json{{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}, {"chat_template", zephyr}}.dump());
  const ModelChat found = read_chat_template(folder.path());
  CHECK(found.chat_template.name() == "zephyr");
  CHECK(found.tokens.bos == "<s>");
  CHECK(found.tokens.eos == "</s>");
  CHECK(found.chat_template.end_of_turn(found.tokens) == "</s>");
  CHECK(read_chat_template(folder.path(), "gemma").chat_template.name() == "gemma");
  CHECK_THROWS_AS(read_chat_template(folder.path(), "vicuna"), ArgumentError);

  const Json tools = {{"name", "tool_use"}, {"template", zephyr}}, plain = {{"name", "default"}, {"template", chatml}};
  write("tokenizer_config.json",
        Json{{"eos_token", "<|im_end|>"}, {"chat_template", Json::array({tools, plain})}}.dump());
  CHECK(read_chat_template(folder.path()).chat_template.name() == "chatml");
  write("tokenizer_config.json", Json{{"chat_template", Json::array({tools})}}.dump());
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("\"default\""));
  write("tokenizer_config.json", R"({"chat_template": 5})");
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("tokenizer_config.json"));

  write("chat_template.jinja", zephyr);  // a file of its own goes before the settings
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("eos_token"));
  write("chat_template.jinja", chatml + "{# mine #}");
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("chat_template.jinja") &&
                                                                           Catch::Contains("markers of chatml,") &&
                                                                           Catch::Contains("--chat-template NAME"));
}
