// SPDX-License-Identifier: Apache-2.0
/// \file examples.hpp
/// Records of text to ids and labels: what a training loop reads.
///
///     ids       BOS, the text, EOS                                     (tokens)
///     labels    -100, then each token's own id where it is learned     (tokens), not shifted
///
/// Prompt and completion are joined as they are and encoded once, for a token may reach over the seam; a token is
/// learned if it begins at or after the end of the prompt. EOS is learned, BOS is not. A label at position 0 is never
/// used: nothing comes before it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/text/dataset.hpp"
#include "veneer/text/dataset_error.hpp"
#include "veneer/text/tokenizer.hpp"

namespace veneer {

/// One sequence to learn from.
struct Example {
  std::vector<std::int32_t> ids;     // (tokens)
  std::vector<std::int32_t> labels;  // (tokens), `ignored_label` where nothing is learned
  friend bool operator==(const Example&, const Example&) = default;
};

/// What of a prompt and its completion is learned.
enum class TrainOn { completion, all };

struct ExampleOptions {
  TrainOn train_on = TrainOn::completion;
  std::size_t max_length = 0;  // of an example, in tokens; what is longer is cut. 0: any length
  /// Put in front of a text, once: not if the tokenizer's template or the text itself begins with it. Empty: the
  /// template alone decides, as in transformers.
  std::optional<std::int32_t> bos_id = {};
  std::optional<std::int32_t> eos_id = {};  // empty: the tokenizer's `eos_id()`
  bool add_eos = true;                      // EOS behind each text that does not end with it
  bool parse_special_tokens = true;         // whether `<|eot|>` in a text is that token
  std::int32_t rows = 0;                    // of the model's embedding: ids must be below. 0: not known
};

/// What became of a file.
struct DatasetReport {
  std::optional<DatasetFormat> format;
  std::size_t records = 0;
  std::size_t examples = 0;
  std::size_t tokens = 0;     // of all examples
  std::size_t learned = 0;    // tokens with a label
  std::size_t truncated = 0;  // examples that were cut to `max_length`
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

  /// The whole of a record, of any length.
  Example make(const Record& record) const {
    if (record.format == DatasetFormat::input_ids) return {record.ids, record.labels};
    expects(tokenizer_ != nullptr, "veneer::ExampleMaker: a record of text needs a tokenizer");
    const std::string text = record.prompt + record.text;
    const EncodeOptions bare{.add_special_tokens = false, .parse_special_tokens = options_.parse_special_tokens};
    Example example;
    if (record.prompt.empty() || options_.train_on == TrainOn::all) {
      example.ids = tokenizer_->encode(text, bare);
      example.labels = example.ids;
    } else {
      Encoding encoding = tokenizer_->encode_with_offsets(text, bare);
      example.ids = std::move(encoding.ids);
      for (std::size_t i = 0; i < example.ids.size(); ++i) {
        example.labels.push_back(encoding.offsets[i].begin >= record.prompt.size() ? example.ids[i] : ignored_label);
      }
    }
    add_around(example);
    return example;
  }

  /// Calls `emit(example)` for what a record becomes: one example cut to `max_length`, or a plain text's windows of
  /// that length; and counts in `report`.
  template <class Emit>
  void make(const Record& record, DatasetReport& report, const Emit& emit) const {
    Example example = make(record);
    check_rows(example, record.line);
    ++report.records;
    const std::size_t limit = options_.max_length;
    if (limit == 0 || example.ids.size() <= limit) return finish(std::move(example), record.line, report, emit);
    if (record.format != DatasetFormat::plain) {
      ++report.truncated;
      example.ids.resize(limit);
      example.labels.resize(limit);
      return finish(std::move(example), record.line, report, emit);
    }
    for (std::size_t at = 0; at < example.ids.size(); at += limit) {
      const std::size_t length = std::min(limit, example.ids.size() - at);
      const auto window = [&](const std::vector<std::int32_t>& from) {
        const auto begin = from.begin() + static_cast<std::ptrdiff_t>(at);
        return std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(length));
      };
      finish({window(example.ids), window(example.labels)}, record.line, report, emit);
    }
  }

 private:
  /// BOS and what else the template puts before a text; what it puts behind; EOS.
  void add_around(Example& example) const {
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
    const auto append = [&](std::int32_t id) {
      example.ids.push_back(id);
      example.labels.push_back(id);
    };
    for (const std::int32_t id : tokenizer_->suffix()) append(id);
    const bool ends = example.labels.back() != ignored_label && example.labels.back() == options_.eos_id;
    if (options_.add_eos && !ends) append(*options_.eos_id);
  }

  void check_rows(const Example& example, std::size_t line) const {
    if (options_.rows == 0 || example.ids.empty()) return;
    const std::int32_t largest = *std::max_element(example.ids.begin(), example.ids.end());
    if (largest < options_.rows) return;
    throw ArgumentError("veneer::ExampleMaker: line " + std::to_string(line) + ": the tokenizer gives the id " +
                        std::to_string(largest) + ", the model has " + std::to_string(options_.rows) +
                        " rows: they don't belong together");
  }

  template <class Emit>
  void finish(Example example, std::size_t line, DatasetReport& report, const Emit& emit) const {
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

/// Calls `emit(Example&&)` for every example of a file, in order. Throws `DatasetError`, `IoError`, `ArgumentError`.
template <class Emit>
DatasetReport for_each_example(const std::filesystem::path& path, const Tokenizer* tokenizer,
                               const ExampleOptions& options, const Emit& emit) {
  const ExampleMaker maker(tokenizer, options);
  DatasetReader reader(path, options.rows);
  DatasetReport report;
  Record record;
  while (reader.next(record)) maker.make(record, report, emit);
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

/// Reads and tokenises a file: see `for_each_example`.
inline ExampleSet load_examples(const std::filesystem::path& path, const Tokenizer* tokenizer,
                                const ExampleOptions& options = {}) {
  ExampleSet set;
  set.report =
      for_each_example(path, tokenizer, options, [&](Example example) { set.examples.push_back(std::move(example)); });
  return set;
}

}  // namespace veneer
