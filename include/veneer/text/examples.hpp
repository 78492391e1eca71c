// SPDX-License-Identifier: Apache-2.0
/// \file examples.hpp
/// Records to ids and labels: what a training loop reads.
///
///     a text          ids     BOS, the text, EOS                                     (tokens)
///                     labels  -100, then each token's own id where it is learned     (tokens), not shifted
///     a conversation  ids     the text that the chat template makes of it, with BOS and EOS where that has them
///                     labels  the replies of the assistant, each with the token that ends its turn; where the template
///                             renders a reply differently once others follow, each reply is an example of its own
///
/// Prompt and completion are joined as they are and encoded once, for a token may reach over the seam; a token is
/// learned if it begins at or after the end of the prompt. EOS is learned, BOS is not. A conversation is encoded once
/// too; a token is learned if it begins within a reply and is not empty. A label at position 0 is never used: nothing
/// comes before it.
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

/// What of a prompt and its completion, or of a conversation, is learned.
enum class TrainOn { completion, all };

struct ExampleOptions {
  TrainOn train_on = TrainOn::completion;
  std::size_t max_length = 0;  // of an example, in tokens; what is longer is cut. 0: any length
  bool cut = true;             // false: only a plain text is, into windows; packing cuts the rest where rows end
  /// Put in front of a text, once: not if the tokenizer's template or the text itself begins with it. Empty: the
  /// template alone decides, as in transformers.
  std::optional<std::int32_t> bos_id = {};
  std::optional<std::int32_t> eos_id = {};  // empty: the tokenizer's `eos_id()`
  bool add_eos = true;                      // EOS behind each text that does not end with it
  bool parse_special_tokens = true;         // whether `<|eot|>` in a text is that token
  std::int32_t rows = 0;                    // of the model's embedding: ids must be below. 0: not known
  std::optional<ModelChat> chat = {};       // how conversations are written
  std::string no_chat = {};                 // why there is none, for the message that a conversation needs it
  bool plain_content = false;  // special tokens in what a message says are text; false: as in transformers, tokens
};

/// What became of a file.
struct DatasetReport {
  std::optional<DatasetFormat> format;
  std::size_t records = 0;
  std::size_t examples = 0;
  std::size_t tokens = 0;     // of all examples
  std::size_t learned = 0;    // tokens with a label
  std::size_t truncated = 0;  // examples that were cut to `max_length`
  std::size_t apart = 0;      // conversations whose messages became examples of their own
  DatasetNotes empty;         // records without text: dropped
  DatasetNotes unlearned;     // examples without a label to learn from: dropped
  DatasetNotes warnings;      // records with an empty completion: kept
};

/// Makes examples of records.
class ExampleMaker {
 public:
  /// `tokenizer` may be null for data that is already tokenised. Throws `ArgumentError` if EOS is to be added and is
  /// not known.
  explicit ExampleMaker(const Tokenizer* tokenizer, ExampleOptions options = {})
      : tokenizer_(tokenizer), options_(std::move(options)) {
    if (tokenizer_ == nullptr) return;
    if (!options_.eos_id) options_.eos_id = tokenizer_->eos_id();
    expects(options_.eos_id || !options_.add_eos,
            "veneer::ExampleMaker: no token is known that ends a text: give options.eos_id, or add \"eos_token\" to "
            "tokenizer_config.json");
  }

  /// The whole of a record, of any length: one example; of a conversation perhaps several, see chat_training.hpp.
  /// Throws `ChatError` for a conversation that the template refuses, `FormatError` where there is no template.
  std::vector<Example> examples(const Record& record) const {
    if (record.format == DatasetFormat::input_ids) return {{record.ids, record.labels}};
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a record of text needs a tokenizer");
    if (record.is_conversation()) return make_chat(record, options_.train_on);
    return {make_text(record.prompt + record.text, record.prompt.size())};
  }

  /// The one example of a record. Throws `FormatError` for a conversation that becomes several.
  Example make(const Record& record) const {
    std::vector<Example> all = examples(record);
    expects<FormatError>(all.size() == 1, "veneer::ExampleMaker: the conversation becomes several examples");
    return std::move(all.front());
  }

  /// The ids that a model is asked with, so that it goes on as the record does: those of the prompt, or of a
  /// conversation up to the last reply.
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

  /// The last reply of a conversation, as the model should give it: what ends the turn is left out if it is a special
  /// token.
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

  /// Calls `emit(example)` for what a record becomes: one example cut to `max_length`, or a plain text's windows of
  /// that length; and counts in `report`.
  template <class Emit>
  void make(const Record& record, DatasetReport& report, const Emit& emit) const {
    if (record.format == DatasetFormat::plain) return make_plain(record.text, report, emit);
    take(examples(record), record.line, report, emit);
  }

  /// The same for the examples that were made of the record on `line`.
  template <class Emit>
  void take(std::vector<Example> examples, std::size_t line, DatasetReport& report, const Emit& emit) const {
    ++report.records;
    report.apart += examples.size() > 1 ? 1u : 0u;
    for (Example& example : examples) take_one(std::move(example), line, report, emit);
  }

  /// The same for a plain text of any length: its windows come while it is encoded, and its ids are never all held.
  template <class Emit>
  void make_plain(std::string_view text, DatasetReport& report, const Emit& emit) const {
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a text needs a tokenizer");
    ++report.records;
    Example open;           // what no window has yet
    const auto cut = [&] {  // not the last one: what ends the text may belong to it
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

  /// A text of whose bytes those from `learned` on are learned.
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

  /// `count` tokens from `begin` on, or as many as there are.
  static Example window(const Example& example, std::size_t begin, std::size_t count) {
    const std::size_t first = std::min(begin, example.ids.size());
    const std::size_t last = first + std::min(count, example.ids.size() - first);
    const auto part = [&](const std::vector<std::int32_t>& from) {
      return std::vector<std::int32_t>(from.begin() + static_cast<std::ptrdiff_t>(first),
                                       from.begin() + static_cast<std::ptrdiff_t>(last));
    };
    return {part(example.ids), part(example.labels)};
  }

  /// What the template puts behind a text, and EOS.
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

  /// BOS and what else the template puts before a text.
  void put_before(Example& example) const {
    std::vector<std::int32_t> before(tokenizer_->prefix().begin(), tokenizer_->prefix().end());
    const std::optional<std::int32_t> bos = options_.bos_id;
    if (bos && std::find(before.begin(), before.end(), *bos) == before.end()) before.insert(before.begin(), *bos);
    // A text that was rendered by a chat template begins with BOS already.
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

  /// The template, which must have a place for what the record says.
  const ModelChat& chat_for(const Record& record) const {
    expects<FormatError>(options_.chat.has_value(),
                         "a conversation needs the chat template of the model" +
                             (options_.no_chat.empty() ? ", or one by name: --chat-template NAME"
                                                       : std::string(": ") + options_.no_chat));
    check_mentioned(options_.chat->chat_template, record.messages, record.variables);
    return *options_.chat;
  }

  /// `contents`: what messages say, in the text; an empty range where the template leaves one out.
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

  /// All of a conversation is trained on, except for messages that say they are not.
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
                         "a message that is not trained on can't be told from the rest of the conversation; train on "
                         "completions, not on all");
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

/// Calls `use(record)` for every record of a file, in order; where one can't be used, the error names file and line.
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

/// All examples of a file, and what became of it.
struct ExampleSet {
  std::vector<Example> examples;
  DatasetReport report;
};

/// Reads and tokenises a file into memory: see `for_each_example`. For data of any size there is `store_examples`.
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
