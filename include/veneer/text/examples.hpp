// SPDX-License-Identifier: Apache-2.0
/// \file examples.hpp
/// ExampleMaker: converts records to ids and labels for training.
///
///     a text          ids     BOS, the text, EOS                                     (tokens)
///                     labels  -100, then the id of each trained token                (tokens), not shifted
///     a conversation  ids     the text rendered by the chat template, with the BOS and EOS that it writes
///                     labels  the replies of the assistant, each with the token that ends its turn; if the template
///                             renders a reply differently once others follow, each reply is a separate example
///
/// Prompt and completion are concatenated and encoded together, since a token may span both; a token is trained on if
/// it begins at or after the end of the prompt. EOS is trained on, BOS is not. A conversation is also encoded as a
/// whole; a token is trained on if it begins within a reply and is not empty. A label at position 0 is never used,
/// since no token comes before it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/label.hpp"
#include "veneer/text/chat_labels.hpp"
#include "veneer/text/chat_template.hpp"
#include "veneer/text/chat_training.hpp"
#include "veneer/text/dataset.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/example.hpp"
#include "veneer/text/example_store.hpp"
#include "veneer/text/plain_text.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// The trained part of a prompt and its completion, or of a conversation.
enum class TrainOn { completion, all };

struct ExampleOptions {
  TrainOn train_on = TrainOn::completion;
  std::size_t max_length = 0;  // of an example, in tokens; longer ones are truncated. 0: any length
  bool cut = true;             // false: only plain texts are split, into windows; packing splits the others at row ends
  /// Prepended to a text, unless the tokenizer's template or the text itself begins with it. Empty: only the template
  /// adds it, as in transformers.
  std::optional<std::int32_t> bos_id = {};
  std::optional<std::int32_t> eos_id = {};  // empty: the tokenizer's `eos_id()`
  bool add_eos = true;                      // append EOS to each text that does not end with it
  bool parse_special_tokens = true;         // whether `<|eot|>` in a text is that token
  std::int32_t rows = 0;                    // of the model's embedding: ids must be below. 0: not known
  std::optional<ModelChat> chat = {};       // the template of conversations
  std::string no_chat = {};                 // the reason for its absence, for error messages
  bool plain_content = false;  // special tokens in the content of a message are text; false: tokens, as in transformers
};

/// A report on a data file.
struct DatasetReport {
  std::optional<DatasetFormat> format;
  std::size_t records = 0;
  std::size_t examples = 0;
  std::size_t tokens = 0;     // of all examples
  std::size_t learned = 0;    // tokens with a label
  std::size_t truncated = 0;  // examples truncated to `max_length`
  std::size_t apart = 0;      // conversations whose messages became separate examples
  DatasetNotes empty;         // records without text: dropped
  DatasetNotes unlearned;     // examples without a label to train on: dropped
  DatasetNotes warnings;      // records with an empty completion: kept
};

/// A converter from records to examples.
class ExampleMaker {
 public:
  /// Constructs a converter. `tokenizer` may be null for data that is already tokenised. Throws `ArgumentError` if EOS
  /// is to be added and is not known.
  explicit ExampleMaker(const Tokenizer* tokenizer, ExampleOptions options = {})
      : tokenizer_(tokenizer), options_(std::move(options)) {
    if (tokenizer_ == nullptr) return;
    if (!options_.eos_id) options_.eos_id = tokenizer_->eos_id();
    expects(options_.eos_id || !options_.add_eos,
            "veneer::ExampleMaker: the token that ends a text is unknown: give options.eos_id, or add \"eos_token\" to "
            "tokenizer_config.json");
  }

  /// Returns the examples of a whole record, of any length: one, or possibly several for a conversation, see
  /// chat_training.hpp. Throws `ChatError` for a conversation that the template refuses, `FormatError` if there
  /// is no template.
  std::vector<Example> examples(const Record& record) const {
    if (record.format == DatasetFormat::input_ids) return {{record.ids, record.labels}};
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a record of text needs a tokenizer");
    if (record.is_conversation()) return make_chat(record, options_.train_on);
    return {make_text(record.prompt + record.text, record.prompt.size())};
  }

  /// Returns the single example of a record. Throws `FormatError` for a conversation that becomes several.
  Example make(const Record& record) const {
    std::vector<Example> all = examples(record);
    expects<FormatError>(all.size() == 1, "veneer::ExampleMaker: the conversation becomes several examples");
    return std::move(all.front());
  }

  /// Returns the ids of the prompt of a record; for a conversation, those up to the last reply.
  std::vector<std::int32_t> prompt(const Record& record) const {
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a record of text needs a tokenizer");
    if (record.is_conversation()) {
      const std::span<const Message> before(record.messages.data(), record.last_reply());
      const ModelChat& model = chat_for(record);
      const RenderedChat chat = model.chat_template.render(before, model.tokens, true, record.variables);
      return encode(chat.text, chat.contents).ids;
    }
    Example example{tokenizer_->encode(record.prompt, bare()), {}};
    example.labels = example.ids;
    put_before(example);
    return example.ids;
  }

  /// Returns the expected last reply of a conversation, without the end of the turn if that is a special token.
  std::string reply(const Record& record) const {
    Record cut = record;
    cut.prompt_messages = record.last_reply();
    expects(cut.prompt_messages < record.messages.size(), "veneer::ExampleMaker: the assistant says nothing");
    cut.messages.resize(cut.prompt_messages + 1);
    cut.messages.back().trained = true;
    std::vector<std::int32_t> learned = make_chat(cut, TrainOn::completion).front().labels;
    std::erase(learned, ignored_label);
    return tokenizer_->decode(learned, true);
  }

  /// Calls `emit(example)` for the examples of a record: one example truncated to `max_length`, or the windows of a
  /// plain text. Counts them in `report`.
  template <class Emit>
  void make(const Record& record, DatasetReport& report, const Emit& emit) const {
    if (record.format == DatasetFormat::plain) return make_plain(record.text, report, emit);
    take(examples(record), record.line, report, emit);
  }

  /// Calls `emit` for examples made from the record on `line`.
  template <class Emit>
  void take(std::vector<Example> examples, std::size_t line, DatasetReport& report, const Emit& emit) const {
    ++report.records;
    report.apart += examples.size() > 1 ? 1u : 0u;
    for (Example& example : examples) take_one(std::move(example), line, report, emit);
  }

  /// Calls `emit` for the windows of a plain text of any length while it is encoded, without holding all ids in memory.
  template <class Emit>
  void make_plain(std::string_view text, DatasetReport& report, const Emit& emit) const {
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a text needs a tokenizer");
    ++report.records;
    Example open;           // tokens that are not yet in a window
    const auto cut = [&] {  // not the last one: the end of the text may belong to it
      std::size_t at = 0;
      for (const std::size_t limit = options_.max_length; limit > 0 && open.ids.size() - at > limit; at += limit)
        finish(window(open, at, limit), 1, report, emit);
      open = window(open, at, open.ids.size());
    };
    bool begun = false;
    tokenizer_->encode_to(text, bare(), [&](std::span<const std::int32_t> ids) {
      open.ids.insert(open.ids.end(), ids.begin(), ids.end());
      open.labels.insert(open.labels.end(), ids.begin(), ids.end());
      if (!std::exchange(begun, true)) put_before(open);
      cut();
    });
    if (!begun) put_before(open);
    put_behind(open);
    cut();
    if (!open.ids.empty()) finish(std::move(open), 1, report, emit);
  }

 private:
  EncodeOptions bare() const {
    return {.add_special_tokens = false, .parse_special_tokens = options_.parse_special_tokens};
  }

  /// Returns the example of a text that is trained on from byte `learned` on.
  Example make_text(std::string_view text, std::size_t learned) const {
    Example example;
    if (learned == 0 || options_.train_on == TrainOn::all) {
      example.ids = tokenizer_->encode(text, bare());
      example.labels = example.ids;
    } else {
      Encoding encoding = tokenizer_->encode_with_offsets(text, bare());
      example.ids = std::move(encoding.ids);
      for (std::size_t i = 0; i < example.ids.size(); ++i)
        example.labels.push_back(encoding.offsets[i].begin >= learned ? example.ids[i] : ignored_label);
    }
    put_before(example);
    put_behind(example);
    return example;
  }

  /// Returns at most `count` tokens from `begin` on.
  static Example window(const Example& example, std::size_t begin, std::size_t count) {
    const std::size_t first = std::min(begin, example.ids.size());
    const std::size_t last = first + std::min(count, example.ids.size() - first);
    const auto part = [&](const std::vector<std::int32_t>& from) {
      return std::vector<std::int32_t>(from.begin() + static_cast<std::ptrdiff_t>(first),
                                       from.begin() + static_cast<std::ptrdiff_t>(last));
    };
    return {part(example.ids), part(example.labels)};
  }

  /// Appends the tokens that the template adds after a text, and EOS.
  void put_behind(Example& example) const {
    for (const std::int32_t id : tokenizer_->suffix()) append(example, id);
    if (!options_.add_eos) return;
    if (!example.labels.empty() && example.labels.back() == ignored_label) {
      append(example, *options_.eos_id);  // the end of a prompt is not the end of the text
    } else {
      end_with(example, *options_.eos_id);
    }
  }

  static void append(Example& example, std::int32_t id) {
    example.ids.push_back(id);
    example.labels.push_back(id);
  }

  /// Adds BOS and the other tokens that the template adds before a text.
  void put_before(Example& example) const {
    std::vector<std::int32_t> before(tokenizer_->prefix().begin(), tokenizer_->prefix().end());
    const std::optional<std::int32_t> bos = options_.bos_id;
    if (bos && std::find(before.begin(), before.end(), *bos) == before.end()) before.insert(before.begin(), *bos);
    // A text rendered by a chat template already begins with BOS.
    if (before.size() == 1 && !example.ids.empty() && example.ids.front() == before.front()) {
      before.clear();
      example.labels.front() = ignored_label;
    }
    example.ids.insert(example.ids.begin(), before.begin(), before.end());
    example.labels.insert(example.labels.begin(), before.size(), ignored_label);
  }

  template <class Emit>
  void take_one(Example example, std::size_t line, DatasetReport& report, const Emit& emit) const {
    const std::size_t limit = options_.max_length;
    if (options_.cut && limit > 0 && example.ids.size() > limit) {
      ++report.truncated;
      example.ids.resize(limit);
      example.labels.resize(limit);
    }
    finish(std::move(example), line, report, emit);
  }

  /// Returns the template, which must use all variables of the record.
  const ModelChat& chat_for(const Record& record) const {
    expects<FormatError>(options_.chat.has_value(),
                         "a conversation needs the chat template of the model" +
                             (options_.no_chat.empty() ? ", or one by name: --chat-template NAME"
                                                       : std::string(": ") + options_.no_chat));
    check_mentioned(options_.chat->chat_template, record.messages, record.variables);
    return *options_.chat;
  }

  /// Encodes a text. `contents` are the ranges of the messages' contents, empty for those that the template omits.
  Encoding encode(const std::string& text, std::vector<ByteRange> contents) const {
    std::erase_if(contents, [](ByteRange range) { return range.begin == range.end; });
    if (!options_.plain_content) contents.clear();
    return tokenizer_->encode_with_offsets(text, bare(), contents);
  }

  std::vector<Example> make_chat(const Record& record, TrainOn train_on) const {
    const ModelChat& chat = chat_for(record);
    std::vector<Example> examples;
    if (train_on == TrainOn::all) return {make_whole_chat(chat, record)};
    for (const TrainingChat& part : render_for_training(chat.chat_template, record.messages, chat.tokens,
                                                        record.variables, record.prompt_messages)) {
      const Encoding encoding = encode(part.text, part.contents);
      Example example{encoding.ids, std::vector<std::int32_t>(encoding.ids.size(), ignored_label)};
      for_each_trained_token(part, encoding, *tokenizer_, [&](std::size_t i) { example.labels[i] = example.ids[i]; });
      examples.push_back(std::move(example));
    }
    return examples;
  }

  /// Returns the example of a conversation that is trained on as a whole, except messages marked otherwise.
  Example make_whole_chat(const ModelChat& chat, const Record& record) const {
    std::vector<Message> messages = record.messages;
    const auto left_out = [](const Message& message) { return message.trained == false; };
    if (std::none_of(messages.begin(), messages.end(), left_out)) {
      const RenderedChat whole = chat.chat_template.render(messages, chat.tokens, false, record.variables);
      std::vector<std::int32_t> ids = encode(whole.text, whole.contents).ids;
      return {ids, ids};
    }
    for (Message& message : messages) message.trained = left_out(message);
    const auto parts = render_for_training(chat.chat_template, messages, chat.tokens, record.variables);
    expects<FormatError>(parts.front().whole,
                         "a message that is not trained on cannot be separated from the rest of the conversation; "
                         "train on completions, not on all");
    const Encoding encoding = encode(parts.front().text, parts.front().contents);
    Example example{encoding.ids, encoding.ids};
    for_each_trained_token(parts.front(), encoding, *tokenizer_,
                           [&](std::size_t i) { example.labels[i] = ignored_label; });
    return example;
  }

  void check_rows(const Example& example) const {
    if (options_.rows == 0 || example.ids.empty()) return;
    const std::int32_t largest = *std::max_element(example.ids.begin(), example.ids.end());
    if (largest < options_.rows) return;
    throw FormatError("the tokenizer gives the id " + std::to_string(largest) + ", the model has " +
                      std::to_string(options_.rows) + " rows: they don't belong together");
  }

  template <class Emit>
  void finish(Example example, std::size_t line, DatasetReport& report, const Emit& emit) const {
    check_rows(example);
    std::size_t learned = 0;
    for (std::size_t i = 1; i < example.labels.size(); ++i) learned += example.labels[i] == ignored_label ? 0u : 1u;
    if (learned == 0) {
      report.unlearned.add(line, DatasetReason::no_trained_token);
      return;
    }
    ++report.examples;
    report.tokens += example.ids.size();
    report.learned += learned;
    emit(std::move(example));
  }

  const Tokenizer* tokenizer_;
  ExampleOptions options_;
};

/// Calls `use(record)` for every record of a file, in order; errors name file and line.
template <class Use>
void for_each_record(const std::filesystem::path& path, DatasetReader& reader, const Use& use) {
  Record record;
  while (reader.next(record)) {
    try {
      use(record);
    } catch (const FormatError& error) {
      throw FormatError(path.string() + ": line " + std::to_string(record.line) + ": " + error.what());
    }
  }
}

/// Calls `emit(Example&&)` for every example of a file, in order. Throws `DatasetError`, `IoError`, `ArgumentError`;
/// `FormatError` with file and line for a conversation that the template refuses.
template <class Emit>
DatasetReport for_each_example(const std::filesystem::path& path, const Tokenizer* tokenizer,
                               const ExampleOptions& options, const Emit& emit) {
  const ExampleMaker maker(tokenizer, options);
  DatasetReport report;
  if (is_plain_text(path)) {
    report.format = DatasetFormat::plain;
    maker.make_plain(PlainText(path).text(), report, emit);
    return report;
  }
  DatasetReader reader(path, options.rows);
  for_each_record(path, reader, [&](const Record& record) { maker.make(record, report, emit); });
  report.format = reader.format();
  report.empty = reader.dropped();
  report.warnings = reader.warnings();
  return report;
}

/// All examples of a file, and the report on it.
struct ExampleSet {
  std::vector<Example> examples;
  DatasetReport report;
};

/// Reads and tokenises a file into memory: see `for_each_example`. For data of any size use `store_examples`.
inline ExampleSet load_examples(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                const ExampleOptions& options = {}) {
  ExampleSet set;
  set.report =
      for_each_example(path, tokenizer, options, [&](Example example) { set.examples.push_back(std::move(example)); });
  return set;
}

/// Reads and tokenises a file into a store, one record at a time.
inline DatasetReport store_examples(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                    const ExampleOptions& options, ExampleStore& store) {
  return for_each_example(path, tokenizer, options, [&](const Example& example) { store.add(example); });
}

}  // namespace veneer
