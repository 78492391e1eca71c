// SPDX-License-Identifier: Apache-2.0
#include "conversation.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <sys/stat.h>

#include "veneer/io/json.hpp"
#include "veneer/text/chat_folder.hpp"
#include "veneer/text/message.hpp"

#include "command.hpp"
#include "reply.hpp"
#include "session.hpp"
#include "terminal.hpp"

namespace veneer::program {

namespace {

constexpr const char* help_text =
    "/adapter NAME   continue with another adapter; without a name: list them\n"
    "/base           continue without an adapter\n"
    "/save FILE      append the conversation to FILE, as a line of {\"messages\": ...}\n"
    "/reset          start again; the system message is kept\n"
    "/quit           end, as Ctrl+D does\n"
    "//TEXT          say /TEXT\n"
    "Ctrl+C ends a reply; at the prompt, the program.";

/// Returns the last part of a path: iso for out/iso and out/iso/.
std::string last_part(const std::string& path) {
  std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.filename().string();
}

/// Parses NAME=DIR, or a DIR whose last part is the name; an existing path is a DIR.
AdapterFolder adapter_folder(const std::string& text) {
  std::error_code error;
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || std::filesystem::exists(text, error)) return {last_part(text), text};
  expects(sign > 0 && sign + 1 < text.size(), "--adapter " + text + ": expected DIR or NAME=DIR");
  return {text.substr(0, sign), text.substr(sign + 1)};
}

/// \throws ArgumentError when two have the same name
std::vector<AdapterFolder> adapter_folders(const ModelFlags& flags) {
  std::vector<AdapterFolder> folders;
  for (const std::string& text : flags.adapters) {
    folders.push_back(adapter_folder(text));
    for (std::size_t i = 0; i + 1 < folders.size(); ++i) {
      expects(folders[i].name != folders.back().name, "--adapter " + text + ": another adapter is named \"" +
                                                          folders[i].name +
                                                          "\" already: give each a different name, --adapter NAME=DIR");
    }
  }
  return folders;
}

/// Appends a line to a file, completely or not at all.
void append_line(const std::string& path, std::string line) {
  const int file = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) throw IoError(path + ": can't be opened: " + std::strerror(errno));
  struct stat status {};
  char last = '\n';
  bool good = ::fstat(file, &status) == 0;
  if (good && status.st_size > 0 && S_ISREG(status.st_mode)) good = ::pread(file, &last, 1, status.st_size - 1) == 1;
  line = (last == '\n' ? "" : "\n") + line + "\n";
  for (std::size_t at = 0; good && at < line.size();) {
    const auto written = ::write(file, line.data() + at, line.size() - at);
    if (written >= 0) at += static_cast<std::size_t>(written);
    good = written >= 0 || errno == EINTR;
  }
  good = good && (::fsync(file) == 0 || errno == EINVAL || errno == EROFS);  // a pipe cannot be synced
  const int number = errno;
  const bool whole = good || !S_ISREG(status.st_mode) || ::ftruncate(file, status.st_size) == 0;
  ::close(file);
  if (good) return;
  throw IoError(path + ": can't be written: " + std::strerror(number) +
                (whole ? "" : "; a part of the line may have been written"));
}

class Conversation {
 public:
  explicit Conversation(const GenerateFlags& flags)
      : flags_(flags),
        stop_(flags.stop),
        tokenizer_(Tokenizer::from_folder(text_folder(flags.model))),
        chat_(read_chat_template(text_folder(flags.model), flags.chat_template)),
        adapters_(adapter_folders(flags.model)) {
    check_chat_tokenizer(chat_, tokenizer_);
    if (flags.system) {
      check_utf8("--system", *flags.system);
      messages_.push_back({"system", *flags.system});
      check_system();
    }
    model_.emplace(flags.model, adapters_);
    find_stops();
  }

  /// Runs one user turn and its reply.
  void answer(const std::string& text) {
    const auto begin = std::chrono::steady_clock::now();
    say(text, nullptr);
    note_speed(prompt_size_, made_, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }

  /// Runs turns until the input ends.
  int talk() {
    Terminal terminal;
    std::string line;
    while (true) {
      const Terminal::Event event = terminal.read(line);
      if (event == Terminal::Event::end) return done;
      if (event == Terminal::Event::interrupted) return print("\n"), interrupted;
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      if (line.starts_with("/") && !line.starts_with("//")) {
        if (!obey(line)) return done;
        continue;
      }
      try {
        say(line.starts_with("//") ? line.substr(1) : line, &terminal);
      } catch (const ArgumentError& error) {
        note(std::string("error: ") + error.what());
      } catch (const FormatError& error) {
        note(std::string("error: ") + error.what());
      }
      terminal.forget_interrupt();
    }
  }

 private:
  /// Checks before the first turn that the template does not refuse or omit system messages.
  void check_system() const {
    const std::vector<Message> messages{messages_.front(), {"user", "Hello"}};
    const auto text_of = [&](std::span<const Message> said) {
      return chat_.chat_template.render(said, chat_.tokens, true).text;
    };
    try {
      expects(text_of(messages) != text_of(std::span(messages).last(1)),
              "--system: the chat template " + chat_.chat_template.name() + " has no place for \"" +
                  printable(*flags_.system) + "\"");
    } catch (const ChatError& error) {
      throw ArgumentError(std::string("--system: ") + error.what());
    }
  }

  /// Finds the stop ids of the model, and the end of a turn in this template: a token, or a text if the
  /// vocabulary has none.
  void find_stops() {
    stop_ids_ = stop_ids(flags_.model.model, model_->config(), tokenizer_);
    add_stop_tokens(tokenizer_, flags_.stop, stop_ids_);
    const ReplyEnd end = reply_end(chat_, tokenizer_);
    if (end.id && *end.id < model_->config().vocab_size) {
      stop_ids_.push_back(*end.id);
      return;
    }
    std::vector<std::string> texts = flags_.stop;
    texts.push_back(end.text);
    stop_ = StopTexts(texts);
  }

  /// Replies to `text`, and adds both to the conversation. Of an interrupted reply the printed part is added; if
  /// nothing was printed, neither is.
  void say(const std::string& text, const Terminal* terminal) {
    if (const auto bad = find_invalid_utf8(text)) {
      throw ArgumentError("byte " + std::to_string(*bad) + " of the text is not UTF-8: it was not sent");
    }
    messages_.push_back({"user", text});
    try {
      const std::string reply = write_reply(terminal);
      if (reply.empty() && terminal != nullptr && terminal->interrupted()) return messages_.pop_back();
      messages_.push_back({"assistant", reply});
    } catch (...) {
      messages_.pop_back();
      throw;
    }
  }

  std::string write_reply(const Terminal* terminal) {
    const RenderedChat rendered = chat_.chat_template.render(messages_, chat_.tokens, true);
    const std::vector<std::int32_t> ids =  // the content of a message gives no special tokens
        tokenizer_.encode(rendered.text, {.add_special_tokens = false}, rendered.contents);
    check_ids(ids, model_->config(), flags_.model.model);
    GenerateOptions options = flags_.options;
    options.stop = stop_ids_;
    options.seed += replies_++;  // otherwise each turn would use the same random numbers
    Reply reply(tokenizer_, stop_ids_, stop_);
    options.on_token = [&](std::size_t, std::int32_t id) {
      return reply.take(id) && !(terminal != nullptr && terminal->interrupted());
    };
    prompt_size_ = ids.size();
    made_ = model_->generate(ids, options).size();
    std::string text = reply.finish();
    warn_length();
    return text;
  }

  void warn_length() const {
    const auto length = static_cast<index_t>(prompt_size_ + made_), known = model_->config().max_position_embeddings;
    if (length <= known) return;
    note("warning: the conversation has " + std::to_string(length) + " tokens; the model supports " +
         std::to_string(known) + " positions");
  }

  /// Executes a line that begins with /. Returns false for the command to end.
  bool obey(const std::string& line) {
    const std::size_t space = std::min(line.find_first_of(" \t"), line.size());
    const std::string command = line.substr(0, space);
    const std::size_t begin = std::min(line.find_first_not_of(" \t", space), line.size());
    const std::string argument = line.substr(begin, line.find_last_not_of(" \t") + 1 - begin);
    if (command == "/quit") return false;
    if (command == "/help") {
      note(help_text);
    } else if (command == "/save") {
      save(argument);
    } else if (command == "/adapter") {
      switch_adapter(argument);
    } else if (command == "/base") {
      use("");
    } else if (command == "/reset") {
      messages_.resize(flags_.system ? 1 : 0);
      replies_ = 0;
      note("the conversation starts again");
    } else {
      note("error: " + printable(command) + " is not a command, and was not sent; /help lists them");
    }
    return true;
  }

  void save(const std::string& path) const {
    if (path.empty()) return note("error: /save: expected the name of a file");
    if (messages_.empty() || messages_.back().role != "assistant") {
      return note("error: /save: the conversation is empty");
    }
    Json list = Json::array();
    for (const Message& message : messages_) list.push_back({{"role", message.role}, {"content", message.content}});
    try {
      append_line(path, Json{{"messages", std::move(list)}}.dump());
      note("saved " + counted(messages_.size(), "message") + " to " + path);
    } catch (const IoError& error) {
      note(std::string("error: /save: ") + error.what());
    }
  }

  void switch_adapter(const std::string& name) {
    std::string names;
    for (const AdapterFolder& adapter : adapters_) {
      if (adapter.name == name) return use(name);
      names += (names.empty() ? "" : ", ") + adapter.name;
    }
    if (names.empty()) return note("error: /adapter: there are no adapters; give them as --adapter DIR");
    if (!name.empty()) return note("error: /adapter: no adapter is named " + printable(name) + "; there are " + names);
    note("adapters: " + names + "; active: " + (model_->active().empty() ? "none" : model_->active()));
  }

  void use(const std::string& name) {
    model_->use(name);
    note(name.empty() ? "no adapter" : "adapter " + name);
  }

  const GenerateFlags& flags_;
  StopTexts stop_;
  Tokenizer tokenizer_;
  ModelChat chat_;
  std::vector<AdapterFolder> adapters_;
  std::optional<SwitchingSession> model_;
  std::vector<std::int32_t> stop_ids_;
  std::vector<Message> messages_;
  std::uint64_t replies_ = 0;
  std::size_t prompt_size_ = 0, made_ = 0;
};

}  // namespace

int run_chat(const GenerateFlags& flags) {
  Conversation conversation(flags);
  if (!flags.prompt) return conversation.talk();
  conversation.answer(prompt_text(flags));
  return done;
}

}  // namespace veneer::program
