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

#include "veneer/text/chat_folder.hpp"
#include "veneer/text/chat_training.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "text/text_fixtures.hpp"

namespace chat_template_test {

namespace {

using namespace veneer;
using namespace veneer::test;
using veneer::testing::TemporaryFolder;

std::filesystem::path chat_data() { return text_data() / "chat"; }

/// Returns the readable tokenizers of the test data.
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

/// Returns the tokens that begin inside a trained range, as ranges of tokens.
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

/// Returns the message of the renderer for a conversation that it must refuse.
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

/// Returns the single text of a conversation.
TrainingChat training(const ChatTemplate& chat, std::span<const Message> messages, const ChatTokens& tokens) {
  std::vector<TrainingChat> all = render_for_training(chat, messages, tokens);
  REQUIRE(all.size() == 1);
  return std::move(all.front());
}

/// Checks that the ranges of contents are in order, disjoint, and have texts of messages.
void check_contents(const RenderedChat& chat, const std::vector<Message>& messages) {
  std::size_t at = 0;
  for (const ByteRange range : chat.contents) {
    REQUIRE(range.begin >= at);
    REQUIRE(range.end > range.begin);
    REQUIRE(range.end <= chat.text.size());
    at = range.end;
    const std::string words = chat.text.substr(range.begin, range.end - range.begin);
    CHECK(std::any_of(messages.begin(), messages.end(),
                      [&](const Message& message) { return message.content.find(words) != std::string::npos; }));
  }
}

void check_training(const ChatTemplate& chat, const std::vector<Message>& messages, const ChatTokens& tokens,
                    const Json& row) {
  if (row.contains("no_mask")) {
    const std::string found = refusal([&] { training(chat, messages, tokens); });
    CHECK_THAT(found, Catch::Contains("message 1 (assistant)") && Catch::Contains("does not render"));
    return;
  }
  const TrainingChat learned = training(chat, messages, tokens);
  CHECK(learned.text == row.at("text").get<std::string>());
  CHECK(learned.trained == to_ranges(row.at("train_spans")));
  for (std::size_t i = 0; i < learned.trained.size(); ++i) {  // the spans are these, followed by white space
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
        CHECK(!refusal([&] { training(chat, messages, tokens); }).empty());
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
  CHECK(ids == 748);  // all recorded ones
  CHECK(masks == 198);
}

TEST_CASE("a template by name is its original, to the byte") {
  for (const ChatFamily& family : chat_families) {
    CAPTURE(family.name);
    std::string original = template_text(std::string(family.name));
    if (original.ends_with('\n')) original.pop_back();
    CHECK(family.jinja == original);
  }
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

TEST_CASE("what is trained on is the same as by rendering each beginning of a conversation") {
  std::mt19937 random(3);
  const std::vector<std::string> roles{"user", "assistant", "assistant", "system", "tool", "narrator"};
  const std::vector<std::string> texts{"", " ", "one", "two\n", " <|end|>", "</s>", "\n\n", "[/INST]"};
  std::size_t compared = 0;
  for (int round = 0; round < 60; ++round) {
    std::vector<Message> messages;
    for (std::size_t i = 0, count = 1 + random() % 7; i < count; ++i) {
      const std::string& role = round % 2 == 0 ? roles[i % 2] : roles[random() % roles.size()];
      messages.push_back({role, texts[random() % texts.size()]});
    }
    for (const std::string_view name : ChatTemplate::names()) {
      const ChatTemplate chat = ChatTemplate::named(name);
      const ChatTokens tokens = tokens_of(std::string(name));
      std::vector<TrainingChat> parts;
      if (!refusal([&] { parts = render_for_training(chat, messages, tokens); }).empty()) continue;
      if (parts.size() != 1) continue;
      const TrainingChat& learned = parts.front();
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
  CHECK(compared > 150);
}

namespace {

/// Like Qwen3: the thoughts of all replies except the last are omitted.
constexpr const char* forgetful =
    "{%- for m in messages %}{{ '<' + m.role + '>' }}"
    "{%- if m.reasoning_content and loop.last %}{{ '{' + m.reasoning_content + '}' }}{% endif %}"
    "{{- m.content + '<end>' }}{% endfor %}"
    "{%- if add_generation_prompt %}<assistant>{% endif %}";

Message thoughtful(const std::string& thoughts, const std::string& content) {
  return {"assistant", content, {{"role", "assistant"}, {"content", content}, {"reasoning_content", thoughts}}, {}};
}

std::string trained_text(const TrainingChat& chat) {
  std::string text;
  for (const ByteRange range : chat.trained) text += "[" + chat.text.substr(range.begin, range.end - range.begin) + "]";
  return text;
}

}  // namespace

TEST_CASE("where a later turn changes an earlier one, each reply is a text of its own, as it was written") {
  const ChatTemplate chat("forgetful", forgetful);
  const std::vector<Message> messages{{"user", "a"}, thoughtful("hm", "b"), {"user", "c"}, thoughtful("so", "d")};
  const auto parts = render_for_training(chat, messages, {});
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].text == "<user>a<end><assistant>{hm}b<end>");
  CHECK(trained_text(parts[0]) == "[{hm}b<end>]");
  CHECK(parts[1].text == "<user>a<end><assistant>b<end><user>c<end><assistant>{so}d<end>");
  CHECK(trained_text(parts[1]) == "[{so}d<end>]");
  const auto last = render_for_training(chat, messages, {}, {}, 2);  // of a prompt nothing is trained on
  REQUIRE(last.size() == 1);
  CHECK(trained_text(last[0]) == "[{so}d<end>]");
  const std::vector<Message> plain{{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}};
  const auto whole = render_for_training(chat, plain, {});
  REQUIRE(whole.size() == 1);
  CHECK(trained_text(whole[0]) == "[b<end>][d<end>]");
}

TEST_CASE("messages say which of them are trained on, whoever speaks") {
  const ChatTemplate chat("forgetful", forgetful);
  std::vector<Message> messages{{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}};
  messages[1].trained = false;
  CHECK(trained_text(training(chat, messages, {})) == "[d<end>]");
  messages[2].trained = true;
  CHECK(trained_text(training(chat, messages, {})) == "[<user>c<end>][d<end>]");
  messages[0].trained = true;
  CHECK(trained_text(training(chat, messages, {})) == "[<user>a<end>][<user>c<end>][d<end>]");
}

TEST_CASE("a template that marks replies says what is trained on") {
  const ChatTemplate chat("marking",
                          "{%- for m in messages %}<{{ m.role }}>"
                          "{%- if m.role == 'assistant' %}{% generation %}{{ m.content }}<end> {% endgeneration %}"
                          "{%- else %}{{ m.content }}<end> {% endif %}{% endfor %}");
  CHECK(chat.marks_replies());
  std::vector<Message> messages{{"assistant", "a"}, {"user", "b"}, {"assistant", "c"}};
  CHECK(trained_text(training(chat, messages, {})) == "[a<end> ][c<end> ]");
  messages[0].trained = false;
  CHECK(trained_text(training(chat, messages, {})) == "[c<end> ]");
}

TEST_CASE("a conversation of which it can't be determined what the assistant wrote is refused") {
  const std::vector<Message> messages{{"user", "a"}, {"assistant", "b"}};
  const ChatTokens tokens;
  // The prompt of a reply is not what a reply begins with.
  const ChatTemplate other("other",
                           "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                           "{% if add_generation_prompt %}<assistant>{think}{% endif %}");
  CHECK_THAT(refusal([&] { training(other, messages, tokens); }),
             Catch::Contains("message 2 (assistant)") && Catch::Contains("can't be determined"));
  // Replies are not rendered at all.
  const ChatTemplate deaf("deaf", "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}");
  CHECK_THAT(refusal([&] { training(deaf, messages, tokens); }), Catch::Contains("does not write it"));
}

TEST_CASE("what ends a reply is found by rendering one") {
  for (const auto& [name, end] : std::vector<std::pair<std::string, std::string>>{{"llama3", "<|eot_id|>"},
                                                                                  {"llama2", "</s>"},
                                                                                  {"mistral-v0.1", "</s>"},
                                                                                  {"mistral-v0.2", "</s>"},
                                                                                  {"mistral-system", "</s>"},
                                                                                  {"chatml", "<|im_end|>"},
                                                                                  {"zephyr", "</s>"},
                                                                                  {"gemma", "<end_of_turn>"},
                                                                                  {"phi3", "<|end|>"},
                                                                                  {"phi3-original", "<|end|>"},
                                                                                  {"qwen2.5", "<|im_end|>"}}) {
    CAPTURE(name);
    CHECK(ChatTemplate::named(name).end_of_turn(tokens_of(name)) == end);
  }
  CHECK(ChatTemplate("bare", "{% for m in messages %}{{ m.content }}\n\n{% endfor %}").end_of_turn({"", "<e>"}) ==
        "<e>");
  const Tokenizer& qwen = readable_tokenizers().at("qwen2-tiny");
  const ChatTemplate two("two", "{% for m in messages %}{{ m.content }}<|im_end|><|im_start|>{% endfor %}");
  CHECK(reply_end({two, {}}, qwen).id == qwen.id("<|im_end|>"));
  CHECK(reply_end({ChatTemplate::named("gemma"), {}}, qwen).text == "<end_of_turn>");
  CHECK(!reply_end({ChatTemplate::named("gemma"), {}}, qwen).id);
}

TEST_CASE("a template reads what transformers gives it") {
  const ChatTemplate all("all",
                         "{{ bos_token }}|{{ pad_token }}|{{ sep_token is defined }}|{{ tools is none }}|{{ level }}|"
                         "{%- for m in messages %}{{ m | tojson }}{% endfor %}|{{ documents | tojson }}");
  const Message thinking = thoughtful("hm", "b");
  ChatVariables variables;
  variables.documents = Json::array({{{"title", "t"}}});
  variables.arguments = {{"level", 3}};
  Message call{"assistant", "", {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", Json::array()}}, {}};
  CHECK(all.render(std::vector{thinking, call}, {"<s>", "</s>", "<pad>"}, false, variables).text ==
        R"(<s>|<pad>|False|True|3|{"thinking": "hm", "role": "assistant", "content": "b", "reasoning_content": "hm"})"
        R"({"role": "assistant", "tool_calls": []}|[{"title": "t"}])");
  CHECK(all.mentions("documents"));
  CHECK(!all.mentions("tool_calls"));
  const ChatTemplate two("two", "plain", "tools");
  variables.tools = Json::array();
  CHECK(two.render(std::vector{thinking}, {}, false).text == "plain");
  CHECK(two.render(std::vector{thinking}, {}, false, variables).text == "tools");
}

TEST_CASE("a conversation that is too long to find out what is trained on is refused in time") {
  std::vector<Message> messages;
  for (int i = 0; i < 3000; ++i) messages.push_back({i % 2 == 0 ? "user" : "assistant", "again"});
  const ChatTemplate chat = ChatTemplate::named("chatml");
  const ChatTokens tokens{"", "<|im_end|>"};
  CHECK_THAT(refusal([&] { training(chat, messages, tokens); }), Catch::Contains("3000 messages: too many"));
  for (Message& message : messages) message.trained = false;
  messages.back().trained = true;  // only messages that are trained on are counted
  CHECK(training(chat, messages, tokens).trained.size() == 1);
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
  CHECK_THAT(found.chat_template.name(), Catch::Contains("tokenizer_config.json"));
  CHECK(found.tokens.bos == "<s>");
  CHECK(found.tokens.eos == "</s>");
  CHECK(found.chat_template.end_of_turn(found.tokens) == "</s>");
  CHECK(read_chat_template(folder.path(), "gemma").chat_template.name() == "gemma");
  CHECK_THROWS_AS(read_chat_template(folder.path(), "vicuna"), ArgumentError);

  const Json tools = {{"name", "tool_use"}, {"template", zephyr}}, plain = {{"name", "default"}, {"template", chatml}};
  write("tokenizer_config.json",
        Json{{"eos_token", "<|im_end|>"}, {"chat_template", Json::array({tools, plain})}}.dump());
  const auto tools_or_not = read_chat_template(folder.path()).chat_template;
  CHECK_THAT(tools_or_not.render(std::vector<Message>{{"user", "a"}}, {}, false).text,
             Catch::StartsWith("<|im_start|>"));
  write("tokenizer_config.json", Json{{"chat_template", Json::array({tools})}}.dump());
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("\"default\""));
  write("tokenizer_config.json", R"({"chat_template": 5})");
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("tokenizer_config.json"));

  write("chat_template.jinja", zephyr);  // a separate file takes precedence over the settings
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }), Catch::Contains("eos_token"));
  write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  const Message user{"user", "a"};
  ChatVariables with_tools;
  with_tools.tools = Json::array({{{"name", "f"}}});
  std::filesystem::create_directory(folder / "additional_chat_templates");
  write("additional_chat_templates/tool_use.jinja", "tools{{ messages[0].content }}");
  const ModelChat own = read_chat_template(folder.path());
  CHECK(own.chat_template.render(std::vector{user}, own.tokens, false).text == "<|user|>\na</s>\n");
  CHECK(own.chat_template.render(std::vector{user}, own.tokens, false, with_tools).text == "toolsa");
  write("mine.jinja", "<<{{ messages[0].content }}>>");
  const ModelChat mine = read_chat_template(folder.path(), (folder / "mine.jinja").string());
  CHECK(mine.chat_template.render(std::vector{user}, mine.tokens, false).text == "<<a>>");
  write("chat_template.jinja", "{% if %}");
  CHECK_THAT(format_error([&] { read_chat_template(folder.path()); }),
             Catch::Contains("chat_template.jinja") && Catch::Contains("line 1"));
}

}  // namespace chat_template_test
