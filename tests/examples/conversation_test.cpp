// SPDX-License-Identifier: Apache-2.0
/// \file conversation_test.cpp
/// `veneer generate --chat`, used by a person at a terminal, and by a program that writes to its stdin.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <pty.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <sys/wait.h>

#include "veneer/io/json.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace conversation_test {

#if defined(VENEER_PROGRAM)

namespace fs = std::filesystem;
using namespace veneer;
using veneer::testing::file_bytes;
using veneer::testing::TemporaryFolder;

namespace {

const fs::path model = fs::path(VENEER_SOURCE_DIR) / "examples" / "data" / "veneer-tiny";

std::string quoted(const std::string& text) { return "'" + text + "'"; }

struct Result {
  int code = -1;
  std::string out, err;
};

/// Runs `veneer` with these arguments and this input on stdin.
Result run(const std::string& words, const std::string& input = "") {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return quoted((folder / name).string()); };
  folder.file("in", input);
  const std::string line =
      quoted(VENEER_PROGRAM) + " " + words + " <" + at("in") + " >" + at("out") + " 2>" + at("err");
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, file_bytes(folder / "out"), file_bytes(folder / "err")};
}

std::string chat_words() { return "generate --chat --chat-template chatml --model " + quoted(model.string()) + " "; }

/// Creates an adapter that changes the output of the shipped model.
std::string make_adapter(const TemporaryFolder& folder, const std::string& name) {
  const std::string data = folder
                               .file("lines.jsonl", R"({"prompt": "Hello", "completion": "ugo ugo ugo"})"
                                                    "\n")
                               .string();
  const std::string out = (folder / name).string();
  const Result result = run("train --quiet --model " + quoted(model.string()) + " --data " + quoted(data) + " --out " +
                            quoted(out) + " --steps 3 --batch 1 --rank 2 --lr 0.05 --targets all-linear");
  INFO(result.err);
  REQUIRE(result.code == 0);
  return out;
}

/// A program at a pseudo-terminal, which echoes typed text like a real one.
class Typist {
 public:
  explicit Typist(const std::vector<std::string>& arguments) {
    child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    std::vector<char*> words{const_cast<char*>(VENEER_PROGRAM)};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    ::execv(VENEER_PROGRAM, words.data());
    ::_exit(127);
  }
  Typist(const Typist&) = delete;
  Typist& operator=(const Typist&) = delete;
  ~Typist() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::close(terminal_);
  }

  bool started() const { return child_ > 0; }

  void type(const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const auto written = ::write(terminal_, text.data() + at, text.size() - at);
      REQUIRE(written > 0);
      at += static_cast<std::size_t>(written);
    }
  }

  /// Waits until this text is shown, and returns the text before it since the last call.
  std::string read_until(const std::string& expected) {
    std::size_t found;
    while ((found = shown_.find(expected)) == std::string::npos) {
      INFO("waiting for: " << expected << "\nshown: " << shown_);
      REQUIRE(read_more());
    }
    const std::string before = shown_.substr(0, found);
    shown_.erase(0, found + expected.size());
    return before;
  }

  /// Waits for the end of the program. Returns its exit code, -1 after a signal.
  int end() {
    while (read_more()) {
    }
    int status = 0;
    REQUIRE(::waitpid(child_, &status, 0) == child_);
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  /// Returns the text shown after the last expected text.
  const std::string& rest() const { return shown_; }

 private:
  bool read_more() {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit_ - std::chrono::steady_clock::now());
    pollfd wait{terminal_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) <= 0) return false;
    char buffer[4096];
    const auto count = ::read(terminal_, buffer, sizeof buffer);  // EIO: the other side is closed
    if (count <= 0) return count < 0 && errno == EINTR;
    shown_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }

  ::pid_t child_ = -1;
  int terminal_ = -1;
  std::string shown_;
  std::chrono::steady_clock::time_point limit_ = std::chrono::steady_clock::now() + std::chrono::minutes(5);
};

std::vector<std::string> chat_arguments(std::vector<std::string> more) {
  std::vector<std::string> all{"generate", "--chat", "--chat-template", "chatml", "--model", model.string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

TEST_CASE("conversation: typed on a terminal, with an adapter that comes and goes, and saved") {
  const TemporaryFolder folder;
  const std::string adapter = make_adapter(folder, "dates"), file = (folder / "said.jsonl").string();
  Typist user(chat_arguments({"--adapter", adapter, "--max-new-tokens", "12"}));
  REQUIRE(user.started());
  CHECK(user.read_until("> ").empty());
  user.type("Hello\n");
  user.read_until("Hello\r\n");
  const std::string first = user.read_until("\r\n> ");
  user.type("/adapter\n");
  user.read_until("adapters: dates; active: dates\r\n> ");
  user.type("/base\n");
  user.read_until("no adapter\r\n> ");
  user.type("And now?\n");
  user.read_until("And now?\r\n");
  const std::string second = user.read_until("\r\n> ");
  user.type("/adapter nobody\n");
  user.read_until("no adapter is named nobody; there are dates\r\n> ");
  user.type("/adapter dates\n");
  user.read_until("\r\nadapter dates\r\n> ");
  user.type("/fly\n");
  user.read_until("/fly is not a command, and was not sent; /help lists them\r\n> ");
  user.type("\n");
  user.read_until("\r\n> ");
  user.type("/help\n");
  user.read_until("/save FILE");
  user.read_until("\r\n> ");
  user.type("/save " + (folder / "nowhere" / "file").string() + "\n");
  user.read_until("can't be opened: No such file or directory\r\n> ");
  user.type("/save /dev/full\n");
  user.read_until("/dev/full: can't be written: No space left on device\r\n> ");
  user.type("/save\n");
  user.read_until("expected the name of a file\r\n> ");
  for (int times = 0; times < 2; ++times) {
    user.type("/save " + file + "\n");
    user.read_until("saved 4 messages");
    user.read_until("\r\n> ");
  }
  user.type("/quit\n");
  CHECK(user.end() == 0);

  const std::string text = file_bytes(file);
  const std::size_t half = text.size() / 2;
  REQUIRE(text.substr(0, half) == text.substr(half));  // the second was appended
  const Json messages = parse_json(std::string_view(text).substr(0, half), file)["messages"];
  REQUIRE(messages.size() == 4);
  CHECK(messages[0] == Json{{"role", "user"}, {"content", "Hello"}});
  CHECK(messages[2] == Json{{"role", "user"}, {"content", "And now?"}});
  const auto shown = [](const Json& message) {  // a terminal shows a line end as two characters
    std::string out;
    for (const char c : message["content"].get<std::string>())
      out += c == '\n' ? std::string("\r\n") : std::string(1, c);
    return out;
  };
  CHECK(messages[1]["role"] == "assistant");
  CHECK(shown(messages[1]) == first);
  CHECK(shown(messages[3]) == second);

  // The saved file is valid training data.
  const Result valid =
      run("validate --json --chat-template chatml --model " + quoted(model.string()) + " --data " + quoted(file));
  INFO(valid.err);
  CHECK(valid.code == 0);
  const Json report = parse_json(valid.out, "stdout").at("files").at(0);
  CHECK(report.at("format") == "messages");
  CHECK(report.at("records") == 2);
  CHECK(report.at("duplicates").at("count") == 1);
  CHECK(report.at("learned").get<int>() > 0);
}

TEST_CASE("conversation: Ctrl+C ends a reply that would not end, and at the prompt the program with 130") {
  const TemporaryFolder folder;  // the shipped model, without its end of text
  for (const char* name : {"model.safetensors", "tokenizer.json"}) fs::copy_file(model / name, folder / name);
  folder.file("tokenizer_config.json", "{}");
  Json config = read_json(model / "config.json");
  config["eos_token_id"] = nullptr;
  folder.file("config.json", config.dump());
  Typist user({"generate", "--chat", "--chat-template", "chatml", "--model", folder.path().string(), "--max-new-tokens",
               "20000", "--temperature", "2"});
  REQUIRE(user.started());
  user.read_until("> ");
  user.type("Hello\n");
  user.read_until("Hello\r\n");
  user.read_until("e");  // it is generating
  user.type("\x03");
  user.read_until("\r\n> ");
  user.type("/save " + (folder / "said.jsonl").string() + "\n");
  user.read_until("saved 2 messages");
  user.read_until("\r\n> ");
  CHECK(parse_json(file_bytes(folder / "said.jsonl"), "said.jsonl")["messages"][1]["content"] != "");
  user.type("half a line\x03");
  CHECK(user.end() == 130);
}

TEST_CASE("conversation: the end of the input ends it, on a terminal and in a pipe") {
  Typist user(chat_arguments({}));
  REQUIRE(user.started());
  user.read_until("> ");
  user.type("\x04");
  CHECK(user.end() == 0);
  const Result nothing = run(chat_words());
  CHECK(nothing.code == 0);
  CHECK(nothing.out.empty());  // no prompt without a terminal
}

TEST_CASE("conversation: an adapter speaks after a switch as if it had been there from the beginning") {
  const TemporaryFolder folder;
  const std::string adapter = make_adapter(folder, "dates");
  const std::string words = chat_words() + "--max-new-tokens 8 --stop '\n' --adapter one=" + quoted(adapter);
  const Result result = run(words, "Hello\n/base\n/reset\nHello\n/adapter one\n/reset\nHello");
  INFO(result.err);
  REQUIRE(result.code == 0);
  std::vector<std::string> replies;
  for (std::size_t at = 0; at < result.out.size();) {
    const std::size_t end = result.out.find('\n', at);
    replies.push_back(result.out.substr(at, end - at));
    at = end + 1;
  }
  REQUIRE(replies.size() == 3);
  CHECK(replies[0] == replies[2]);
  CHECK(replies[0] != replies[1]);
  const Result base = run(chat_words() + "--max-new-tokens 8 --stop '\n' --prompt Hello");
  CHECK(base.out == replies[1] + "\n");
  CHECK(run(words + " --adapter one=" + quoted(adapter)).code == 2);
  CHECK_THAT(run(words + " --adapter one=" + quoted(adapter)).err, Catch::Contains("another adapter is named \"one\""));
}

TEST_CASE("generate: a reply ends before a stop text, and a seed gives the same text at any number of threads") {
  const std::string words =
      "generate --model " + quoted(model.string()) + " --max-new-tokens 24 --prompt 'The report' ";
  const Result whole = run(words);
  REQUIRE(whole.code == 0);
  REQUIRE(whole.out.size() > 12);
  const std::string stop = whole.out.substr(6, 4);
  const Result stopped = run(words + "--stop " + quoted(stop) + " --stop 'nobody says this'");
  CHECK(stopped.out == whole.out.substr(0, whole.out.find(stop)) + "\n");
  CHECK(run(words + "--stop ''").code == 2);
  const std::string draw = words + "--temperature 1.5 --seed 4 --threads ";
  const Result one = run(draw + "1");
  CHECK(one.out.size() > 1);
  CHECK(run(draw + "2").out == one.out);
  CHECK(run(draw + "4").out == one.out);
}

TEST_CASE("generate: a stop text that is a special token is a token, and closed descriptors are no trouble") {
  const std::string words =
      "generate --max-new-tokens 400 --model " + quoted(model.string()) + " --prompt 'iso date: May 9, 2000 =>'";
  const Result whole = run(words), stopped = run(words + " --stop '<|begin_of_text|>'");
  CHECK(whole.code == 0);
  CHECK(stopped.out == whole.out);  // the token does not occur: no text is held back
  const auto code_of = [](const std::string& line) {
    const int status = std::system((quoted(VENEER_PROGRAM) + " " + line + " 2>/dev/null").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  CHECK(code_of(chat_words() + "<&- >/dev/null") == 0);
  CHECK(code_of(words + " >/dev/full") == 5);
}

TEST_CASE("generate --chat: what a user says can't be a special token, and flags that mean nothing are refused") {
  const auto tokens = [](const std::string& text) {
    return std::stoi(run(chat_words() + "--max-new-tokens 1 --prompt " + quoted(text)).err);  // "46 tokens of prompt"
  };
  CHECK(tokens("<|end_of_text|>") > tokens("") + 3);
  const std::string plain = "generate --model " + quoted(model.string());
  CHECK_THAT(run(plain).err, Catch::Contains("--prompt"));
  CHECK(run(plain).code == 2);
  CHECK(run(plain + " --prompt a --system b").code == 2);
  CHECK(run(plain + " --prompt a --chat-template chatml").code == 2);
  CHECK(run(plain + " --chat --chat-template vicuna").code == 2);
  const Result unknown = run(plain + " --chat --prompt a");
  CHECK(unknown.code == 3);
  CHECK_THAT(unknown.err, Catch::Contains("no chat_template.jinja") && Catch::Contains("--chat-template"));
  const Result refused = run(plain + " --chat --chat-template gemma --prompt a --system b");
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("System role not supported"));
  CHECK_THAT(run(plain + " --chat --chat-template phi3-original --prompt a --system b").err,
             Catch::Contains("has no place for \"b\""));
}

}  // namespace conversation_test
#endif
