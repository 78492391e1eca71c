// SPDX-License-Identifier: Apache-2.0
/// \file validate_test.cpp
/// `veneer validate` from the outside: its counts, the examples it shows, and errors of invalid files.
#include <cstdlib>
#include <filesystem>
#include <string>

#include <sys/wait.h>

#include "veneer/io/file.hpp"
#include "veneer/io/json.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace validate_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::file_bytes;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path datasets = fs::path(VENEER_TEST_DATA) / "text" / "datasets";
const fs::path tiny = fs::path(VENEER_SOURCE_DIR) / "examples" / "data" / "veneer-tiny";

std::string quoted(const fs::path& path) { return "'" + path.string() + "' "; }

struct Result {
  int code = -1;
  std::string out, err;
};

Result validate(const std::string& words) {
  const TemporaryFolder folder;
  const std::string line = std::string("'") + VENEER_PROGRAM + "' validate " + words + " >" + quoted(folder / "out") +
                           "2>" + quoted(folder / "err");
  const int status = std::system(line.c_str());
  const auto text = [&](const char* name) { return read_text(folder / name, std::size_t{1} << 26); };
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text("out"), text("err")};
}

Json validate_json(const std::string& words) {
  const Result result = validate(words + " --json");
  INFO(result.err);
  REQUIRE(!result.out.empty());
  return parse_json(result.out, "stdout").at("files");
}

}  // namespace

TEST_CASE("validate: good and bad files are told apart as their expectations say") {
  for (const char* folder : {"ok", "bad"}) {
    const Json expected = read_json(datasets / folder / "expect.json");
    std::string words = "--data ";
    for (auto entry = expected.begin(); entry != expected.end(); ++entry)
      words += quoted(datasets / folder / entry.key());
    const bool good = std::string(folder) == "ok";
    CHECK(validate(words).code == (good ? 0 : 3));
    const Json files = validate_json(words);
    REQUIRE(files.size() == expected.size());
    std::size_t at = 0;
    for (auto entry = expected.begin(); entry != expected.end(); ++entry, ++at) {
      CAPTURE(entry.key());
      const Json &want = entry.value(), &found = files[at];
      CHECK(found.at("ok") == want.at("ok"));
      CHECK(found.at("file").get<std::string>().ends_with(entry.key()));
      if (good) {
        CHECK(found.at("records") == want.at("records").size());
        CHECK(found.at("empty_targets").at("first") == want.value("warnings", Json::array()));
        CHECK(found.at("dropped").at("empty_text").at("first") == want.value("dropped", Json::array()));
      } else {
        for (const char* key : {"reason", "line", "key"})
          CHECK(found.at("error").value(key, Json()) == want.value(key, Json()));
      }
    }
  }
}

TEST_CASE("validate: one bad file does not hide the others") {
  const Result result = validate("--data " + quoted(datasets / "ok/text.jsonl") + quoted(datasets / "bad/utf8.txt") +
                                 "/nowhere.jsonl " + quoted(datasets / "ok/plain.txt"));
  CHECK(result.code == 3);
  for (const char* part : {"ok/text.jsonl\n", "bad/utf8.txt\n", "/nowhere.jsonl\n", "ok/plain.txt\n"})
    CHECK(result.out.find(part) != std::string::npos);
  CHECK(result.err.find("utf8.txt: line 1 (byte 3): ") != std::string::npos);
  CHECK(result.err.find("/nowhere.jsonl: cannot be opened") != std::string::npos);
}

TEST_CASE("validate: tokens, cuts, duplicates and what can't teach are counted") {
  const TemporaryFolder folder;
  std::string lines;
  for (const char* ids : {"[1,2,3,4,5,6,7,8,9]", "[1,2,3]", "[4,5]", "[1,2,3]", "[]", "[7]", "[1,2,3]"})
    lines += std::string("{\"input_ids\": ") + ids + "}\n";
  lines += "{\"input_ids\": [1,2,3,4,5,6], \"labels\": [-100,-100,-100,-100,5,6]}\n";
  const Json file = validate_json("--seq 4 --data " + quoted(folder.file("d.jsonl", lines)))[0];
  CHECK(file.at("records") == 7);
  CHECK(file.at("duplicates") == parse_json(R"({"count": 2, "first": [{"line":4,"of":2},{"line":7,"of":2}]})", "t"));
  CHECK(file.at("truncated") == 2);
  CHECK(file.at("tokens_lost") == 5 + 2);
  CHECK(file.at("examples") == 5);
  CHECK(file.at("tokens") == 4 + 3 + 2 + 3 + 3);
  CHECK(file.at("learned") == 3 + 2 + 1 + 2 + 2);
  CHECK(file.at("dropped").at("empty_text").at("first")[0].at("line") == 5);
  CHECK(file.at("dropped").at("no_trained_token").at("count") == 2);  // [7], and the one whose labels are truncated
  CHECK(file.at("lengths").at("longest") == 9);
  CHECK(file.at("lengths").at("median") == 3);
  CHECK(file.at("lengths").at("histogram") ==
        parse_json(R"([{"from":1,"count":1},{"from":2,"count":4},{"from":4,"count":1},{"from":8,"count":1}])", "t"));
}

TEST_CASE("validate: what is not learned is shown in brackets, token by token") {
  const TemporaryFolder folder;
  const auto shown = [&](const std::string& line, const std::string& words) {
    const Result result = validate("--show 1 --data " + quoted(folder.file("d.jsonl", line + "\n")) + words);
    INFO(result.err);
    CHECK(result.code == 0);
    const std::size_t at = result.out.find("\nrecord 1, line 1");
    REQUIRE(at != std::string::npos);
    return result.out.substr(result.out.find('\n', at + 1) + 1);
  };
  CHECK(shown(R"({"prompt": "ask ", "completion": "tell\t!"})", "") == "⟦ask ⟧tell\\x09!\n");
  CHECK(shown(R"({"input_ids": [5, 6, 7, 8], "labels": [5, -100, 7, 9]})", "") == "⟦5·6⟧7·8 -> 9\n");
  CHECK(shown(R"({"messages": [{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})", "") ==
        "⟦user: a\n⟧assistant: b\n\n");
  const std::string with = "--model " + quoted(tiny);
  CHECK(shown(R"({"prompt": "the |", "completion": " 2003"})", with) ==
        "⟦<|begin_of_text|>·t·he· ·|⟧ ·2·0·0·3·<|end_of_text|>\n");
  const std::string chat = shown(R"({"messages": [{"role":"user","content":"a"},{"role":"assistant","content":"2"}]})",
                                 with + "--chat-template llama3");
  const std::size_t reply = chat.rfind("⟧") + std::string("⟧").size();
  CHECK(chat.substr(reply).starts_with("2·"));
  CHECK(chat.find("\x1b[") == std::string::npos);  // no terminal, no colour
}

TEST_CASE("validate: the template of a model's folder is rendered, with calls, weights and thoughts") {
  const TemporaryFolder folder;
  const fs::path tokenizer = fs::path(VENEER_TEST_DATA) / "text" / "tokenizers" / "qwen2-tiny" / "tokenizer.json";
  fs::copy(tokenizer, folder / "tokenizer.json");
  folder.file("tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
  const auto use = [&](const std::string& jinja) { folder.file("chat_template.jinja", jinja); };
  const auto shown = [&](const std::string& line) {
    const fs::path data = folder.file("data.jsonl", line + "\n");
    const Result result = validate("--show 1 --data " + quoted(data) + "--model " + quoted(folder.path()));
    CAPTURE(result.err);
    CHECK(result.code == 0);
    std::string text = result.out;
    for (std::size_t at; (at = text.find("·")) != std::string::npos;) text.erase(at, std::string("·").size());
    return text;
  };
  use(file_bytes(fs::path(VENEER_TEST_DATA) / "text" / "chat" / "templates" / "qwen2.5.jinja"));
  CHECK_THAT(
      shown(
          R"({"messages": [{"role": "user", "content": "tide?"}, {"role": "assistant", "content": null, "tool_calls":)"
          R"( [{"type": "function", "function": {"name": "tide", "arguments": {"port": "Oslo"}}}]},)"
          R"( {"role": "tool", "content": "12:00"}, {"role": "assistant", "content": "noon", "weight": 0}]})"),
      Catch::Contains(
          "⟧<tool_call>\n{\"name\": \"tide\", \"arguments\": {\"port\": \"Oslo\"}}\n</tool_call><|im_end|>⟦\n") &&
          Catch::Contains(
              "<tool_response>\n12:00\n</tool_response><|im_end|>\n<|im_start|>assistant\nnoon<|im_end|>\n⟧"));
  use("{% for m in messages %}{{ m.role }}:{% if loop.last %}{{ m.thinking }}{% endif %}{{ m.content }}<|im_end|>"
      "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}");
  CHECK_THAT(
      shown(
          R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "thinking": "hm"},)"
          R"( {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})"),
      Catch::Contains("examples      2") && Catch::Contains("apart         1: a later turn changes") &&
          Catch::Contains("⟦user:a<|im_end|>assistant:⟧hmb<|im_end|>\n") &&
          Catch::Contains("assistant:b<|im_end|>user:c<|im_end|>assistant:⟧d<|im_end|>\n"));
}

TEST_CASE("validate: a tokenizer that does not see the marks of a template is refused") {
  const TemporaryFolder folder;
  fs::copy(fs::path(VENEER_TEST_DATA) / "text" / "tokenizers" / "unigram-tiny" / "tokenizer.model",
           folder / "tokenizer.model");
  folder.file("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
  const fs::path data =
      folder.file("chat.jsonl", R"({"messages": [{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  const Result result =
      validate("--data " + quoted(data) + "--model " + quoted(folder.path()) + "--chat-template llama2");
  CHECK(result.code == 3);
  CHECK_THAT(result.err, Catch::Contains("does not find <s> in a text"));
}

TEST_CASE("validate: usage") {
  CHECK(validate("").code == 2);
  CHECK(validate("--data x --chat-template chatml").code == 2);
  CHECK(validate("--data x --model /nowhere").code == 3);
}

}  // namespace validate_test
#endif
