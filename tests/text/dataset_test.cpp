// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/dataset.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace dataset_test {

namespace {

using namespace veneer;
using namespace veneer::test;

/// A file that lasts as long as this.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("veneer-" + std::to_string(::getpid()) + "-" + name)) {}
  TemporaryFile(const std::string& name, const std::string& content) : TemporaryFile(name) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string name_of(DatasetFormat format) {
  switch (format) {
    case DatasetFormat::prompt_completion: return "prompt_completion";
    case DatasetFormat::conversations: return "sharegpt";
    case DatasetFormat::instruction: return "alpaca";
    case DatasetFormat::text: return "text";
    case DatasetFormat::plain: return "plain";
    default: return std::string(to_string(format));
  }
}

Json to_json(const Record& record) {
  if (record.is_conversation()) {
    Json messages = Json::array();
    for (const Message& message : record.messages)
      messages.push_back({{"role", message.role}, {"content", message.content}});
    return {{"line", record.line}, {"kind", "messages"}, {"messages", messages}};
  }
  if (record.has_prompt()) {
    return {
        {"line", record.line}, {"kind", "prompt_completion"}, {"prompt", record.prompt}, {"completion", record.text}};
  }
  return {{"line", record.line}, {"kind", "text"}, {"text", record.text}};
}

Json to_json(const DatasetNotes& notes) {
  Json list = Json::array();
  for (const DatasetNote& note : notes.first()) {
    list.push_back({{"line", note.line}, {"reason", std::string(to_string(note.reason))}});
  }
  return list;
}

/// Returns the contents of a file, or its error, in the form of the golden files.
Json read_all(const std::filesystem::path& path) {
  Json result = {{"ok", true}};
  try {
    DatasetReader reader(path);
    Json records = Json::array();
    Record record;
    while (reader.next(record)) records.push_back(to_json(record));
    result["format"] = name_of(reader.format().value());
    result["records"] = records;
    if (reader.warnings().count() > 0) result["warnings"] = to_json(reader.warnings());
    if (reader.dropped().count() > 0) result["dropped"] = to_json(reader.dropped());
  } catch (const DatasetError& error) {
    CHECK_THAT(error.what(), Catch::Contains(path.string()));
    result = {{"ok", false}, {"reason", std::string(to_string(error.reason))}};
    if (error.place.line > 0) result["line"] = error.place.line;
    if (!error.place.key.empty()) result["key"] = error.place.key;
    if (error.place.byte && error.reason == DatasetReason::utf8) result["byte"] = *error.place.byte;
  }
  return result;
}

/// Compares every file of a folder with its expect.json; returns how many there were.
std::size_t check_folder(const char* name) {
  const auto folder = text_data() / "datasets" / name;
  const Json expected = read_json(folder / "expect.json");
  for (auto entry = expected.begin(); entry != expected.end(); ++entry) {
    CAPTURE(entry.key());
    Json want = entry.value();
    want.erase("note");
    CHECK(nlohmann::json(read_all(folder / entry.key())) == nlohmann::json(want));  // the order of keys is irrelevant
  }
  return expected.size();
}

Json read_text_as(const std::string& name, const std::string& content) {
  return read_all(TemporaryFile(name, content).path());
}

}  // namespace

TEST_CASE("good files give the records they hold", "[text]") { CHECK(check_folder("ok") == 21); }

TEST_CASE("bad files are refused for the right reason, at the right place", "[text]") {
  CHECK(check_folder("bad") == 53);
}

TEST_CASE("large files are read a line at a time", "[text]") {
  const Json cases = read_json(text_data() / "datasets" / "generated.json");
  CHECK(cases.size() == 4);
  for (auto entry = cases.begin(); entry != cases.end(); ++entry) {
    CAPTURE(entry.key());
    const TemporaryFile file(entry.key());
    {
      std::ofstream out(file.path(), std::ios::binary);
      for (const Json& part : entry.value().at("parts")) {
        const auto text = part[0].get<std::string>();
        for (std::size_t i = 0; i < part[1].get<std::size_t>(); ++i) out << text;
      }
    }
    const Json want = entry.value().at("expect");
    const Json found = read_all(file.path());
    CHECK(found.at("ok") == want.at("ok"));
    if (want.at("ok").get<bool>()) {
      CHECK(found.at("records").size() == want.at("records").get<std::size_t>());
      CHECK(found.at("records")[0].at("text").get<std::string>().size() ==
            want.at("line_1_text_bytes").get<std::size_t>());
    } else {
      for (const char* key : {"reason", "line", "key"}) CHECK(found.value(key, Json()) == want.value(key, Json()));
    }
  }
}

TEST_CASE("what is wrong with a conversation is said with its place", "[text]") {
  const auto message = [](const std::string& line) {
    const TemporaryFile file("bad.jsonl", line + "\n");
    DatasetReader reader(file.path());
    Record record;
    try {
      reader.next(record);
    } catch (const DatasetError& error) {
      return std::string(to_string(error.reason)) + " " + error.place.key + " | " + error.what();
    }
    return std::string("read");
  };
  CHECK_THAT(message(R"({"messages": [{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}]})"),
             Catch::StartsWith("unknown_role messages[1].role |") &&
                 Catch::Contains("\"messages[1].role\": found \"robot\", expected system, developer, user,"));
  CHECK(message(R"({"messages": [{"role": "developer", "content": "a"}, {"role": "assistant", "content": "b"},)"
                R"( {"role": "function", "name": "f", "content": "c"}]})") == "read");
  CHECK_THAT(message(R"({"conversations": [{"from": "bot", "value": "a"}]})"),
             Catch::Contains("found \"bot\", expected system, human (or user), gpt (or assistant), function_call or"));
  CHECK_THAT(message(R"({"messages": [{"role": "human", "content": "a"}]})"), Catch::StartsWith("unknown_role"));
  CHECK(message(R"({"prompt": [], "completion": [{"role": "assistant", "content": "a"}]})") == "read");
  CHECK_THAT(message(R"({"prompt": [], "completion": [ ]})"), Catch::StartsWith("empty_messages prompt+completion |"));
  CHECK_THAT(message(R"({"prompt": [{"role":"user","content":"a"}], "completion": [{"role":"user","content":""}]})"),
             Catch::StartsWith("no_assistant_turn prompt+completion |"));
  CHECK_THAT(message(R"({"prompt": [{"role": "user"}], "completion": []})"),
             Catch::StartsWith("missing_field prompt+completion[0].content |"));
  CHECK_THAT(message(R"({"prompt": [{"role": "user", "content": "a"}], "completion": {}})"),
             Catch::StartsWith("wrong_type completion |"));
  const auto content = [](const std::string& value) {
    return R"({"messages": [{"role": "assistant", "content": )" + value + "}]}";
  };
  CHECK_THAT(message(content("null")), Catch::Contains("messages[0].content\": found null, expected a text or a list"));
  CHECK_THAT(message(content("5")), Catch::Contains("found 5, expected a text"));
  CHECK_THAT(message(content(R"([{"type": "image_url", "image_url": {"url": "x"}}])")),
             Catch::StartsWith("unsupported_key messages[0].content[0].type |") && Catch::Contains("\"image_url\""));
  CHECK_THAT(message(R"({"instruction": "a", "input": null, "output": "b"})"), Catch::StartsWith("wrong_type input |"));
}

TEST_CASE("a prompt that is a list of messages says from where on a conversation is learned", "[text]") {
  const std::string lists =
      R"({"prompt": [{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"c"}],)"
      R"( "completion": [{"content":"d","role":"assistant"}]})";
  const TemporaryFile file("lists.jsonl", lists + "\n{\"prompt\": \"a\", \"completion\": \"b\"}\n");
  DatasetReader reader(file.path());
  Record record;
  REQUIRE(reader.next(record));
  CHECK(record.messages == std::vector<Message>{{"user", "a"}, {"assistant", ""}, {"user", "c"}, {"assistant", "d"}});
  CHECK(record.prompt_messages == 3);
  CHECK(reader.warnings().count() == 0);  // the empty reply is not learned
  REQUIRE(reader.next(record));           // a text in addition to lists
  CHECK(record.prompt == "a");
  CHECK(reader.format() == DatasetFormat::messages);
}

namespace {

/// Returns the first record of one line.
Record record_of(const std::string& line) {
  const TemporaryFile file("one.jsonl", line + "\n");
  DatasetReader reader(file.path());
  Record record;
  REQUIRE(reader.next(record));
  return record;
}

/// Returns the error of one line: reason and key.
std::string refused(const std::string& line) {
  const Json found = read_text_as("refused.jsonl", line + "\n");
  return found.value("reason", "read") + " " + found.value("key", "");
}

}  // namespace

TEST_CASE("a message says itself whether it is trained on", "[text]") {
  const auto trained = [](const std::string& role, const std::string& keys) {
    return record_of(R"({"messages": [{"role": ")" + role + R"(", "content": "a", )" + keys +
                     R"(}, {"role": "assistant", "content": "b"}]})")
        .messages[0]
        .is_trained();
  };
  for (const char* off : {R"("weight": 0)", R"("weight": 0.0)", R"("train": false)", R"("training": false)",
                          R"("loss": false)", R"("loss": 0, "weight": 0)"}) {
    CAPTURE(off);
    CHECK_FALSE(trained("assistant", off));
    CHECK_FALSE(trained("user", off));
  }
  for (const char* on : {R"("weight": 1)", R"("weight": 1.0)", R"("train": true)", R"("weight": null)", R"("id": 7)"}) {
    CAPTURE(on);
    CHECK(trained("assistant", on));
  }
  CHECK_FALSE(trained("user", R"("weight": 1)"));  // as in OpenAI
  CHECK(trained("user", R"("train": true)"));      // as in axolotl
  const auto bad = [](const std::string& keys) {
    return refused(R"({"messages": [{"role": "assistant", "content": "a", )" + keys + "}]}");
  };
  CHECK(bad(R"("weight": 0.5)") == "wrong_type messages[0].weight");
  CHECK(bad(R"("weight": 2)") == "wrong_type messages[0].weight");
  CHECK(bad(R"("train": "yes")") == "wrong_type messages[0].train");
  CHECK(bad(R"("weight": 0, "train": true)") == "wrong_type messages[0].train");
  CHECK(bad(R"("train_detail": [{"begin_offset": 0}])") == "unsupported_key messages[0].train_detail");
  CHECK(bad(R"("function_call": {"name": "f"})") == "unsupported_key messages[0].function_call");
  CHECK(bad(R"("images": ["a.png"])") == "unsupported_key messages[0].images");
  CHECK(bad(R"("images": [], "function_call": null)") == "read ");
}

TEST_CASE("calls of tools, parts of text and keys for the template are kept", "[text]") {
  const Record record = record_of(
      R"({"tools": [{"type": "function", "function": {"name": "tide"}}], "documents": [{"title": "t"}],)"
      R"( "chat_template_kwargs": {"enable_thinking": false}, "id": 5, "source": {"a": [1]},)"
      R"( "messages": [{"role": "user", "content": ["tide in ", {"type": "text", "text": "Bergen?"}], "name": "Bo"},)"
      R"( {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "tide", "arguments": {}}}]},)"
      R"( {"role": "tool", "content": "12:00"}, {"role": "assistant", "tool_calls": [{}]},)"
      R"( {"role": "assistant", "content": "noon", "reasoning_content": "hm"}]})");
  REQUIRE(record.messages.size() == 5);
  CHECK(record.messages[0].content == "tide in Bergen?");
  CHECK(record.messages[0].whole.dump() == R"({"role":"user","content":"tide in Bergen?","name":"Bo"})");
  CHECK(record.messages[1].whole.at("content").is_null());
  CHECK(record.messages[1].whole.at("tool_calls")[0].at("function").at("name") == "tide");
  CHECK(record.messages[2] == Message{"tool", "12:00"});
  CHECK_FALSE(record.messages[3].whole.contains("content"));
  CHECK(record.messages[4].whole.at("reasoning_content") == "hm");
  CHECK(record.variables.tools[0].at("function").at("name") == "tide");
  CHECK(record.variables.documents[0].at("title") == "t");
  CHECK(record.variables.arguments == Json{{"enable_thinking", false}});
  CHECK(record_of(R"({"tools": "[{\"name\": \"f\"}]", "messages": [{"role": "assistant", "content": "a"}]})")
            .variables.tools == Json::array({{{"name", "f"}}}));
  const auto with = [](const std::string& keys) {
    return refused("{" + keys +
                   R"(, "messages": [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]})");
  };
  CHECK(with(R"("tools": {"a": 1})") == "wrong_type tools");
  CHECK(with(R"("tools": "[")") == "json tools");
  CHECK(with(R"("system": "be brief")") == "unsupported_key system");
  CHECK(with(R"("functions": [{"name": "f"}])") == "unsupported_key functions");
  CHECK(with(R"("images": ["a.png"])") == "unsupported_key images");
  CHECK(with(R"("weight": 0.3)") == "unsupported_key weight");
  CHECK(with(R"("weight": 1, "images": null, "tools": [], "functions": "", "score": 0.3)") == "read ");
}

TEST_CASE("ShareGPT's system, tools, calls and observations become messages", "[text]") {
  const Record record =
      record_of(R"({"system": "Be brief.", "tools": "[{\"name\": \"tide\", \"parameters\": {}}]", "conversations": [)"
                R"({"from": "human", "value": "tide?"}, {"from": "function_call", "value":)"
                R"( "{\"name\": \"tide\", \"arguments\": {\"port\": \"B\"}}"},)"
                R"( {"from": "observation", "value": "12:00"}, {"from": "gpt", "value": "noon"}]})");
  REQUIRE(record.messages.size() == 5);
  CHECK(record.messages[0] == Message{"system", "Be brief."});
  CHECK(record.messages[2].role == "assistant");
  CHECK(record.messages[2].is_trained());
  CHECK(record.messages[2].whole.dump() == R"({"role":"assistant","content":"","tool_calls":[{"type":"function",)"
                                           R"("function":{"name":"tide","arguments":{"port":"B"}}}]})");
  CHECK(record.messages[3] == Message{"tool", "12:00"});
  CHECK(record.variables.tools.dump() == R"([{"type":"function","function":{"name":"tide","parameters":{}}}])");
  CHECK(refused(R"({"conversations": [{"from": "function_call", "value": "not JSON"}]})") ==
        "json conversations[0].value");
  CHECK(refused(R"({"conversations": [{"from": "function_call", "value": "{\"name\": 1}"}]})") ==
        "wrong_type conversations[0].value");
}

TEST_CASE("Alpaca's system and history stand in the prompt", "[text]") {
  const Record record = record_of(R"({"instruction": "And 3?", "output": "9", "system": "Square it.",)"
                                  R"( "history": [["2?", "4"]]})");
  CHECK(record.prompt ==
        "Square it.\n\n### Instruction:\n2?\n\n### Response:\n4\n\n### Instruction:\nAnd 3?\n\n### Response:\n");
  CHECK(record_of(R"({"instruction": "a", "output": "b", "system": "", "history": []})").prompt ==
        alpaca_prompt("a", ""));
  CHECK(refused(R"({"instruction": "a", "output": "b", "history": [["x"]]})") == "wrong_type history[0]");
  CHECK(refused(R"({"instruction": "a", "output": "b", "images": ["x.png"]})") == "unsupported_key images");
  CHECK(refused(R"({"prompt": "a", "completion": "b", "system": "s"})") == "unsupported_key system");
  CHECK(refused(R"({"text": "a", "tools": [1]})") == "unsupported_key tools");
}

TEST_CASE("a file of another kind is named, with what to do", "[text]") {
  using namespace std::literals;
  const auto says = [](const std::string& name, const std::string& content) {
    const TemporaryFile file(name, content);
    Record record;
    try {
      DatasetReader(file.path()).next(record);
    } catch (const DatasetError& error) {
      return std::string(error.what());
    }
    return "read"s;
  };
  CHECK_THAT(says("a.parquet", "PAR1\x15\x04\n"), Catch::Contains("Parquet") && Catch::Contains("to_json"));
  CHECK_THAT(says("a.jsonl", "\x1F\x8B\x08\x00"s), Catch::Contains("gunzip"));
  CHECK_THAT(says("a.zst", "\x28\xB5\x2F\xFD\n"), Catch::Contains("zstd -d"));
  CHECK_THAT(says("a.xz",
                  "\xFD"
                  "7zXZ\0\0"s),
             Catch::Contains("unxz"));
  CHECK_THAT(says("a.zip", "PK\x03\x04"), Catch::Contains("unzip"));
  CHECK_THAT(says("a.csv", "a,b\n1,2\n"), Catch::Contains("CSV"));
  CHECK_THAT(says("a.jsonl", "id,\"prompt\",completion\n1,2,3\n"), Catch::Contains("CSV"));
  CHECK_THAT(says("a.json", "[\n {\"text\": \"a\"}\n]\n"), Catch::Contains("jq -c '.[]'"));
  CHECK_THAT(says("a.json", "[{\"text\": \"a\"}]\n"), Catch::Contains("jq -c '.[]'"));
  CHECK_THAT(says("a.jsonl", "version https://git-lfs.github.com/spec/v1\n"), Catch::Contains("git lfs pull"));
  CHECK_THAT(says("a.txt", "version https://git-lfs.github.com/spec/v1\n"), Catch::Contains("git lfs pull"));
  CHECK_THAT(says("a.jsonl", "<!DOCTYPE html>\n"), Catch::Contains("HTML"));
  CHECK_THAT(says("a.jsonl", "\xEF\xBB\xBF\r\n\n  <html>\n"), Catch::Contains("HTML"));
  CHECK_THAT(says("a.json", "\n[\n {\"text\": \"a\"}\n]\n"), Catch::Contains("jq -c '.[]'"));
  CHECK_THAT(says("a.jsonl", "{\"text\": \"a\"}\n<html>\n"), Catch::Contains("read"));
  CHECK_THAT(says("a.jsonl", "text and more\n"), Catch::Contains("not valid JSON"));
}

TEST_CASE("ids and labels are read as they are", "[text]") {
  const TemporaryFile file("ids.jsonl",
                           "{\"input_ids\": [1, 5 ,\t9], \"labels\": [-100,5,9], \"attention_mask\": [1,1,1]}\n"
                           "{\"labels\":[7],\"input_ids\":[7]}\n{\"input_ids\":[]}\n{\"input_ids\":[2147483647,0]}\n");
  DatasetReader reader(file.path());
  Record record;
  REQUIRE(reader.next(record));
  CHECK(reader.format() == DatasetFormat::input_ids);
  CHECK(record.ids == std::vector<std::int32_t>{1, 5, 9});
  CHECK(record.labels == std::vector<std::int32_t>{-100, 5, 9});
  REQUIRE(reader.next(record));
  CHECK(record.ids == std::vector<std::int32_t>{7});
  REQUIRE(reader.next(record));
  CHECK(record.line == 4);
  CHECK(record.ids == std::vector<std::int32_t>{2147483647, 0});
  CHECK(record.labels == record.ids);
  CHECK_FALSE(reader.next(record));
  CHECK(reader.dropped().first() == std::vector<DatasetNote>{{3, DatasetReason::empty_text}});
}

TEST_CASE("ids and labels that can't be are refused", "[text]") {
  const auto reason = [](const std::string& line) {
    const Json found = read_text_as("bad.jsonl", "{\"input_ids\":[1]}\n" + line + "\n");
    CHECK(found.value("line", 0) == 2);
    return found.value("reason", "") + " " + found.value("key", "");
  };
  CHECK(reason(R"({"input_ids": 5})") == "wrong_type input_ids");
  CHECK(reason(R"({"input_ids": null})") == "wrong_type input_ids");
  CHECK(reason(R"({"input_ids": [1, "2"]})") == "wrong_type input_ids[1]");
  CHECK(reason(R"({"input_ids": [1, [2]]})") == "wrong_type input_ids[1]");
  CHECK(reason(R"({"input_ids": [1, 2.0]})") == "wrong_type input_ids[1]");
  CHECK(reason(R"({"input_ids": [1e2]})") == "wrong_type input_ids[0]");
  CHECK(reason(R"({"input_ids": [true]})") == "wrong_type input_ids[0]");
  CHECK(reason(R"({"input_ids": [-100]})") == "bad_id input_ids[0]");
  CHECK(reason(R"({"input_ids": [2147483648]})") == "bad_id input_ids[0]");
  CHECK(reason(R"({"input_ids": [99999999999999999999]})") == "bad_id input_ids[0]");
  CHECK(reason(R"({"input_ids": [1], "labels": [-1]})") == "bad_id labels[0]");
  CHECK(reason(R"({"input_ids": [1], "labels": [1, 2]})") == "length_mismatch labels");
  CHECK(reason(R"({"input_ids": [1], "labels": null})") == "wrong_type labels");
  CHECK(reason(R"({"input_ids": [1, 2], "attention_mask": [0, 1]})") == "unsupported_key attention_mask");
  CHECK(reason(R"({"input_ids": [1], "completion_mask": [1]})") == "unsupported_key completion_mask");
  CHECK(reason(R"({"labels": [1]})") == "missing_field input_ids");
  CHECK(reason(R"({"text": "a"})") == "mixed_formats ");
}

TEST_CASE("ids and labels must be rows of the model", "[text]") {
  const TemporaryFile file("rows.jsonl", "{\"input_ids\":[1,9]}\n{\"input_ids\":[1],\"labels\":[10]}\n");
  DatasetReader reader(file.path(), 10);
  Record record;
  REQUIRE(reader.next(record));
  CHECK_THROWS_WITH(reader.next(record),
                    Catch::Contains("line 2: \"labels[0]\": found 10, expected an id below 10 or -100"));
}

TEST_CASE("keys decide the format in a fixed order", "[text]") {
  CHECK(read_text_as("both.jsonl", R"({"text": "a", "input_ids": [1]})").value("format", "") == "text");
  CHECK(read_text_as("both.jsonl", R"({"text": "a", "prompt": "b", "completion": "c"})").value("format", "") ==
        "prompt_completion");
  CHECK(read_text_as("both.jsonl", R"({"text": "a", "messages": []})").value("reason", "") == "empty_messages");
  CHECK(read_text_as("both.jsonl", R"({"text": "a", "prompt": "b"})").value("format", "") == "text");
}

TEST_CASE("JSON is told from what only looks like it", "[text]") {
  const auto reason = [](const std::string& value) {
    return read_text_as("value.jsonl", "{\"text\":\"a\",\"x\":" + value + "}").value("reason", "good");
  };
  for (const char* good : {"0", "-0", "1.5e-3", "12E+7", "1e999", "true", "null", "[]", "{}", "[ 1 , 2 ]", R"("é")",
                           R"({"a":{"b":[{}]}})", R"("\"\\\/\b\f\n\r\t")", "123456789012345678901234567890"}) {
    CAPTURE(good);
    CHECK(reason(good) == "good");
  }
  for (const char* bad : {"01",      "+1",       "1.",    ".5",   "1e",  "-",        "tru",         "True",
                          "nan",     "Infinity", "[1,]",  "[,1]", "{,}", R"({"a"})", R"({"a":})",   R"("\u12g4")",
                          R"("\x")", "'a'",      "[1 2]", "",     "[",   "\"a\nb\"", "\"\x7f\x01\""}) {
    CAPTURE(bad);
    CHECK(reason(bad) == "json");
  }
  CHECK(reason(R"("\ud83d")") == "surrogate");
  CHECK(reason(R"("\ud83d\u0041")") == "surrogate");
  CHECK(reason(R"([{"a":1,"\u0061":2}])") == "duplicate_key");
}

TEST_CASE("a byte order mark inside a file is no white space", "[text]") {
  CHECK(read_text_as("mark.txt",
                     "\xEF\xBB\xBF"
                     "a\xEF\xBB\xBF")
            .at("records")[0]
            .at("text") == "a\xEF\xBB\xBF");
}

TEST_CASE("a file that is not there, and a folder, are named", "[text]") {
  CHECK_THROWS_WITH(DatasetReader("/nowhere/data.jsonl"), Catch::Contains("/nowhere/data.jsonl: cannot be opened"));
  CHECK_THROWS_WITH(DatasetReader(std::filesystem::temp_directory_path()), Catch::Contains("is a folder"));
}

}  // namespace dataset_test
