// SPDX-License-Identifier: Apache-2.0
/// \file evaluate.cpp
/// veneer evaluate: mean loss per token and perplexity of a file; with --generate also the fraction of prompts whose
/// greedy completion is the recorded one, byte for byte.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "veneer/io/json.hpp"
#include "veneer/text/line_reader.hpp"

#include "command.hpp"
#include "common/exact_match.hpp"
#include "data_flags.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct EvaluateFlags {
  ModelFlags model;
  std::string data;
  DataFlags tokenization;
  index_t seq = 512;
  std::size_t batch = 8;
  index_t max_new_tokens = 72;
  bool generate = false, json = false;
};

/// The number of exact matches among records.
struct Matches {
  std::size_t exact = 0, count = 0;
  double share() const { return count == 0 ? 0.0 : static_cast<double>(exact) / static_cast<double>(count); }
  void add(bool match) {
    exact += match ? 1u : 0u;
    ++count;
  }
  Json json() const { return {{"exact_match", share()}, {"exact", exact}, {"count", count}}; }
};

Json evaluate_loss(const Session& session, const std::optional<Tokenizer>& tokenizer, const EvaluateFlags& flags,
                   ExampleOptions options) {
  options.max_length = static_cast<std::size_t>(std::min(flags.seq, session.config().max_position_embeddings));
  ExampleStore examples;
  const DatasetReport report = store_examples(flags.data, tokenizer ? &*tokenizer : nullptr, options, examples);
  expects<FormatError>(!examples.empty(), flags.data + ": holds no example with a token to predict");
  SummedLoss total;
  for (std::size_t begin = 0; begin < examples.size(); begin += flags.batch) {
    const SummedLoss some = session.loss(examples, begin, std::min(examples.size(), begin + flags.batch));
    total.sum += some.sum;
    total.targets += some.targets;
  }
  const double loss = total.sum / static_cast<double>(total.targets);
  expects<DivergedError>(std::isfinite(loss), flags.data + ": the loss is not a finite number: check the weights");
  return {{"loss", loss},
          {"perplexity", std::exp(std::min(loss, 700.0))},  // larger values fit neither double nor JSON
          {"targets", total.targets},
          {"tokens", report.tokens},
          {"examples", report.examples},
          {"records", report.records},
          {"truncated", report.truncated},
          {"dropped", report.empty.count() + report.unlearned.count()}};
}

/// Returns the value of "skill" of each line that has one, by line.
std::map<std::size_t, std::string> read_skills(const std::string& path) {
  std::map<std::size_t, std::string> skills;
  LineReader lines(path);
  while (const std::optional<Line> line = lines.next()) {
    if (line->text.find("\"skill\"") == std::string_view::npos) continue;
    const JsonScan scan = scan_json(line->text);  // scanned, since other keys may have any value
    const JsonField* const skill = scan.find("skill");
    if (skill != nullptr && skill->kind == JsonKind::string) skills[line->number] = unescape_json(skill->value);
  }
  return skills;
}

/// Returns up to `count` more records that can be completed.
std::vector<Record> next_records(DatasetReader& reader, std::size_t count, const std::string& path) {
  std::vector<Record> records;
  for (Record record; records.size() < count && reader.next(record);) {
    expects<FormatError>(record.has_prompt() || record.is_conversation(),
                         path +
                             ": --generate needs records with a prompt and a completion, instructions with an "
                             "output, or conversations; found " +
                             std::string(to_string(record.format)));
    records.push_back(std::move(record));
  }
  return records;
}

Json evaluate_matches(const Session& session, const Tokenizer& tokenizer, const EvaluateFlags& flags,
                      const ExampleOptions& options) {
  DatasetReader reader(flags.data);
  const std::map<std::size_t, std::string> skills = read_skills(flags.data);
  Matches all;
  std::map<std::string, Matches> by_skill;
  for (;;) {
    constexpr std::size_t at_once = 64;
    const std::vector<Record> some = next_records(reader, at_once, flags.data);
    if (some.empty()) break;
    const std::vector<Completion> found = session.complete(tokenizer, some, flags.max_new_tokens, options);
    for (std::size_t i = 0; i < some.size(); ++i) {
      all.add(found[i].exact());
      if (const auto skill = skills.find(some[i].line); skill != skills.end())
        by_skill[skill->second].add(found[i].exact());
    }
    note("generated " + std::to_string(all.count));
  }
  Json json = all.json();
  for (const auto& [name, matches] : by_skill) json["skills"][name] = matches.json();
  return json;
}

std::string percent(const Json& matches) {
  char text[96];
  std::snprintf(text, sizeof text, "%6.2f %%  (%lld of %lld)", 100.0 * matches["exact_match"].get<double>(),
                matches["exact"].get<long long>(), matches["count"].get<long long>());
  return text;
}

void print_table(const Json& result) {
  char text[160];
  std::snprintf(text, sizeof text, "loss per token    %.6f\nperplexity        %.4f\n", result["loss"].get<double>(),
                result["perplexity"].get<double>());
  print(text);
  for (const char* key : {"targets", "tokens", "examples", "records", "truncated", "dropped"}) {
    std::snprintf(text, sizeof text, "%-16s  %lld\n", key, result[key].get<long long>());
    print(text);
  }
  const Json* generated = find_json(result, "generated");
  if (generated == nullptr) return;
  print("exact match       " + percent(*generated) + "\n");
  const Json* skills = find_json(*generated, "skills");
  if (skills == nullptr) return;
  for (const auto& item : skills->items()) {
    std::snprintf(text, sizeof text, "  %-14s  ", item.key().c_str());
    print(text + percent(item.value()) + "\n");
  }
}

int run_evaluate(const EvaluateFlags& flags) {
  flags.model.apply();
  const std::optional<Tokenizer> tokenizer = find_tokenizer(text_folder(flags.model));
  expects<FormatError>(tokenizer.has_value() || !flags.generate,
                       flags.model.model + ": no tokenizer.json; --generate needs one");
  const Session session(flags.model);
  const ExampleOptions options = flags.tokenization.options(text_folder(flags.model), tokenizer, &session.config());
  Json result = evaluate_loss(session, tokenizer, flags, options);
  if (flags.generate) result["generated"] = evaluate_matches(session, *tokenizer, flags, options);
  if (flags.json) {
    print(dump_python(result, {.indent = -1, .sort_keys = false}) + "\n");
  } else {
    print_table(result);
  }
  flush();
  return done;
}

}  // namespace

void add_evaluate(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<EvaluateFlags>();
  CLI::App* command = app.add_subcommand("evaluate", "loss and perplexity of a file, and exact matches");
  flags->model.add_to(*command);
  command->add_option("--data", flags->data, "JSONL or .txt")->required();
  command->add_flag("--generate", flags->generate, "complete each prompt, or conversation, and compare, byte for byte");
  command->add_option("--max-new-tokens", flags->max_new_tokens, "of a completion")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  flags->tokenization.add_to(*command);
  command->add_option("--seq", flags->seq, "longest sequence, in tokens")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  command->add_option("--batch", flags->batch, "sequences at a time")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &run] { run = [flags] { return run_evaluate(*flags); }; });
}

}  // namespace veneer::program
