// SPDX-License-Identifier: Apache-2.0
/// \file validate.cpp
/// veneer validate: checks data files before training, and shows examples as the model will see them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <unistd.h>

#include "veneer/io/json.hpp"
#include "veneer/io/llama_config.hpp"
#include "veneer/text/examples.hpp"
#include "veneer/text/plain_text.hpp"
#include "veneer/text/stream_decoder.hpp"

#include "command.hpp"
#include "data_flags.hpp"
#include "data_report.hpp"
#include "model_flags.hpp"
#include "suggestion.hpp"

namespace veneer::program {

namespace {

struct ValidateFlags {
  std::vector<std::string> data;
  std::string model;
  DataFlags tokenization;
  index_t seq = 0;
  std::size_t show = 0;
  bool json = false;
};

/// Returns whether trained tokens are shown in colour; otherwise the others are in brackets.
bool in_color() {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

/// A part of an example, trained on or not.
struct Piece {
  std::string text;
  bool learned = false;
};

/// Returns a text with control characters as escapes; line ends are kept.
std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out;
}

/// Returns the pieces with "·" between them; those not trained on are dim, or in brackets.
std::string marked(const std::vector<Piece>& pieces, bool color) {
  std::string out;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const bool begins = i == 0 || pieces[i - 1].learned != piece.learned;
    const bool ends = i + 1 == pieces.size() || pieces[i + 1].learned != piece.learned;
    if (!begins || color) out += i == 0 ? "" : "·";
    if (color) {
      out += (piece.learned ? "\x1b[1;32m" : "\x1b[2m") + visible(piece.text) + "\x1b[0m";
    } else {
      out += (begins && !piece.learned ? "⟦" : "") + visible(piece.text) + (ends && !piece.learned ? "⟧" : "");
    }
  }
  return out;
}

/// Returns the tokens of an example as text; a character of several tokens is shown with the last of them. If a label
/// differs from the input token, both are shown.
std::vector<Piece> pieces_of(const Example& example, const Tokenizer& tokenizer) {
  std::vector<Piece> pieces;
  StreamDecoder stream(tokenizer);
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    const std::int32_t id = example.ids[i], label = i == 0 ? ignored_label : example.labels[i];
    std::string text = stream.push(id);
    if (i + 1 == example.ids.size()) text += stream.flush();
    if (label != ignored_label && label != id) text += " -> " + tokenizer.decode(std::vector<std::int32_t>{label});
    if (!text.empty()) pieces.push_back({text, label != ignored_label});
  }
  return pieces;
}

/// Returns the ids, without a tokenizer.
std::vector<Piece> pieces_of(const Example& example) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    const std::int32_t id = example.ids[i], label = i == 0 ? ignored_label : example.labels[i];
    const bool other = label != ignored_label && label != id;
    pieces.push_back({std::to_string(id) + (other ? " -> " + std::to_string(label) : ""), label != ignored_label});
  }
  return pieces;
}

/// Returns the parts of a record, without a tokenizer.
std::vector<Piece> pieces_of(const Record& record, TrainOn train_on) {
  const bool all = train_on == TrainOn::all;
  if (record.format == DatasetFormat::input_ids) return pieces_of(Example{record.ids, record.labels});
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < record.messages.size(); ++i) {
    const Message& message = record.messages[i];
    pieces.push_back(
        {message.role + ": " + message.content + "\n", all ? message.trained.value_or(true) : record.is_trained(i)});
  }
  if (!record.prompt.empty()) pieces.push_back({record.prompt, all});
  if (!record.text.empty()) pieces.push_back({record.text, true});
  return pieces;
}

/// Returns the number of bytes of the texts of a record.
std::size_t bytes_of(const Record& record) {
  std::size_t bytes = record.prompt.size() + record.text.size();
  for (const Message& message : record.messages) bytes += message.content.size();
  return bytes;
}

/// The tokenizer and options for checking data, as far as they are given.
struct Reader {
  std::optional<LlamaConfig> config;
  std::optional<Tokenizer> tokenizer;
  ExampleOptions options;
  std::size_t seq = 0, show = 0;

  static Reader of(const ValidateFlags& flags) {
    Reader reader;
    reader.seq = static_cast<std::size_t>(flags.seq), reader.show = flags.show;
    reader.options.max_length = reader.seq;
    if (flags.model.empty()) {
      expects(flags.tokenization.chat_template.empty() && !flags.tokenization.plain_content,
              "--chat-template and --plain-content need --model, which has the tokenizer");
      reader.options.train_on = flags.tokenization.train_on == "all" ? TrainOn::all : TrainOn::completion;
      return reader;
    }
    const std::filesystem::path folder = flags.model;
    if (std::filesystem::exists(folder / "config.json"))
      reader.config = read_llama_config(folder / "config.json").config;
    reader.tokenizer = find_tokenizer(folder);
    if (!reader.tokenizer) throw IoError(flags.model + ": holds no tokenizer.json and no tokenizer.model");
    const LlamaConfig* config = reader.config ? &*reader.config : nullptr;
    reader.options = flags.tokenization.options(folder, reader.tokenizer, config);
    reader.options.max_length = reader.seq;
    return reader;
  }

  /// Checks one file; the shown examples are appended to `shown`.
  DataReport look(const std::string& path, std::string& shown) const;

 private:
  void look_at_records(const std::string& path, DataReport& report, std::string& shown) const;
  void look_at_text(const std::string& path, DataReport& report, std::string& shown) const;
};

/// Checks a plain text: one record, in windows of `seq` tokens.
void Reader::look_at_text(const std::string& path, DataReport& report, std::string& shown) const {
  report.format = DatasetFormat::plain;
  const PlainText file(path);
  report.records = 1;
  report.tokenised = tokenizer.has_value();
  if (!tokenizer) return report.lengths.add(file.text().size());
  const bool color = in_color();
  ExampleMaker(&*tokenizer, options).make_plain(file.text(), report.made, [&](const Example& window) {
    report.lengths.add(window.ids.size());
    if (report.made.examples > show) return;
    shown += "\nsequence " + std::to_string(report.made.examples) + ": " + counted(window.ids.size(), "token") + "\n" +
             marked(pieces_of(window, *tokenizer), color) + "\n";
  });
}

void Reader::look_at_records(const std::string& path, DataReport& report, std::string& shown) const {
  const bool color = in_color();
  DatasetReader reader(path, options.rows);
  const Tokenizer* known = tokenizer ? &*tokenizer : nullptr;
  const ExampleMaker maker(known, options);
  // Stores the notes even if an exception ends the file.
  struct Keep {
    DatasetReader& reader;
    DataReport& report;
    ~Keep() { report.format = reader.format(), report.empty = reader.dropped(), report.warnings = reader.warnings(); }
  } keep{reader, report};
  for_each_record(path, reader, [&](const Record& record) {
    ++report.records;
    report.duplicates.add(record);
    report.tokenised = known != nullptr || record.format == DatasetFormat::input_ids;
    const bool show_this = report.records <= show;
    const std::string head = "\nrecord " + std::to_string(report.records) + ", line " + std::to_string(record.line);
    if (!report.tokenised) {
      report.lengths.add(bytes_of(record));
      if (show_this) shown += head + "\n" + marked(pieces_of(record, options.train_on), color) + "\n";
      return;
    }
    std::vector<Example> examples = maker.examples(record);
    for (const Example& example : examples) {
      report.lengths.add(example.ids.size());
      if (seq == 0 || example.ids.size() <= seq) continue;
      ++report.over;
      report.lost += example.ids.size() - seq;
    }
    const std::size_t learned = report.made.learned, tokens = report.made.tokens;
    std::vector<Example> kept;
    maker.take(std::move(examples), record.line, report.made, [&](Example&& made) { kept.push_back(std::move(made)); });
    if (!show_this) return;
    shown += head + ": " + counted(report.made.tokens - tokens, "token") + ", " +
             std::to_string(report.made.learned - learned) + " learned" + (kept.empty() ? "; dropped" : "") + "\n";
    for (const Example& example : kept)
      shown += marked(known != nullptr ? pieces_of(example, *known) : pieces_of(example), color) + "\n";
  });
}

DataReport Reader::look(const std::string& path, std::string& shown) const {
  DataReport report;
  report.file = path;
  report.seq = seq;
  try {
    if (is_plain_text(path)) {
      look_at_text(path, report, shown);
    } else {
      look_at_records(path, report, shown);
    }
  } catch (const DatasetError& error) {
    report.error = error.what();
    report.error_place = {{"message", report.error}, {"reason", std::string(to_string(error.reason))}};
    if (error.place.line > 0) report.error_place["line"] = error.place.line;
    if (!error.place.key.empty()) report.error_place["key"] = error.place.key;
    if (error.place.byte) report.error_place["byte"] = *error.place.byte;
  } catch (const DiskError&) {
    throw;
  } catch (const FormatError& error) {
    report.error = error.what();
  } catch (const IoError& error) {
    report.error = error.what();
  }
  if (!report.error.empty() && report.error_place.is_null()) report.error_place = {{"message", report.error}};
  report.duplicates.finish();
  return report;
}

/// Suggests training on the first file with these flags; without a model, validating it with one.
void suggest_next(const ValidateFlags& flags) {
  std::vector<std::string> words{flags.model.empty() ? "validate" : "train", "--model",
                                 flags.model.empty() ? "MODEL" : flags.model, "--data", flags.data[0]};
  const auto add = [&](const char* flag, const std::string& value) { words.insert(words.end(), {flag, value}); };
  if (flags.tokenization.train_on != DataFlags().train_on) add("--train-on", flags.tokenization.train_on);
  if (!flags.tokenization.chat_template.empty()) add("--chat-template", flags.tokenization.chat_template);
  if (flags.tokenization.plain_content) words.push_back("--plain-content");
  if (flags.seq > 0) add("--seq", std::to_string(flags.seq));
  if (flags.model.empty()) {
    add("--show", "2");
  } else {
    add("--out", new_run_folder(flags.data[0]));
  }
  suggest(words);
}

int run_validate(const ValidateFlags& flags) {
  const Reader reader = Reader::of(flags);
  Json files = Json::array();
  std::size_t bad = 0;
  for (std::size_t i = 0; i < flags.data.size(); ++i) {
    std::string shown;
    const DataReport report = reader.look(flags.data[i], shown);
    if (!report.error.empty()) {
      ++bad;
      note("veneer: " + report.error);
    }
    if (flags.json) {
      files.push_back(report.json());
    } else {
      print((i > 0 ? "\n" : "") + report.text() + shown);
    }
  }
  if (flags.json) print(dump_python(Json{{"files", files}}, {.indent = -1, .sort_keys = false}) + "\n");
  flush();
  if (bad == 0 && !flags.json) suggest_next(flags);
  return bad > 0 ? bad_input : done;
}

}  // namespace

void add_validate(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<ValidateFlags>();
  CLI::App* command = app.add_subcommand("validate", "check data files, and show examples as a model will see them");
  command->add_option("--data", flags->data, "JSONL or .txt; one or several")->required();
  command->add_option("--model", flags->model, "folder of a Hugging Face model, for tokens; its weights are not read");
  flags->tokenization.add_to(*command);
  command->add_option("--seq", flags->seq, "count longer examples, in tokens")->check(CLI::Range(2, 1 << 24));
  command->add_option("--show", flags->show, "records of each file to print, with the tokens not trained on marked");
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &run] { run = [flags] { return run_validate(*flags); }; });
}

}  // namespace veneer::program
