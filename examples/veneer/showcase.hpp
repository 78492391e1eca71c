// SPDX-License-Identifier: Apache-2.0
/// \file showcase.hpp
/// Showcase: completions before and after a training run. Of the shipped run, exact matches on its task and on the old
/// skills; of other runs, the first three prompts.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/plain_text.hpp"

#include "common/exact_match.hpp"
#include "train_inputs.hpp"

namespace veneer::program {

class Showcase {
 public:
  /// Completes the prompts before the run. `in` and `tokenization` must outlive this.
  Showcase(const TrainInputs& in, const AnyLlama<>& model, const ExampleOptions& tokenization)
      : in_(in), tokenization_(tokenization), before_(take(model)) {}

  /// Completes the prompts after the run, and prints both. Adds the scores of the shipped run to `json`.
  void finish(const AnyLlama<>& model, Json& json) {
    const Completions after = take(model);
    if (in_.settings.shipped) return report_scores(after, json);
    if (in_.settings.json || in_.settings.quiet) return;
    for (std::size_t i = 0; i < after.task.size() && i < before_.task.size(); ++i) {
      std::printf("prompt  %s\nbefore %s\nafter  %s\n", after.task[i].prompt.c_str(), before_.task[i].found.c_str(),
                  after.task[i].found.c_str());
    }
  }

 private:
  struct Completions {
    std::vector<Completion> task;
    double old_skills = 0.0;  // fraction of exact matches
  };

  CompletionOptions options() const {
    return {.stop = stop_ids(in_.settings.model, in_.config(), in_.tokenizer), .tokenization = tokenization_};
  }

  Completions take(const AnyLlama<>& model) const {
    if (!in_.settings.shipped) return {sample(model)};
    std::string test = in_.settings.data;
    const std::size_t at = test.rfind(".train.");
    if (at != std::string::npos) test.replace(at, 7, ".test.");
    const CompletionOptions tokenization = options();
    Completions result;
    if (at != std::string::npos && std::filesystem::exists(test))
      result.task = complete(model, *in_.tokenizer, read_records(test), tokenization);
    result.old_skills =
        exact_share(complete(model, *in_.tokenizer, read_records(shipped_data("base.test.jsonl")), tokenization));
    return result;
  }

  /// Returns completions of the first three prompts of the held-out data, or of the data.
  std::vector<Completion> sample(const AnyLlama<>& model) const {
    const std::string& path = in_.settings.eval.empty() ? in_.settings.data : in_.settings.eval;
    // A pipe can be read only once.
    if (!in_.tokenizer || is_plain_text(path) || !std::filesystem::is_regular_file(path)) return {};
    DatasetReader reader(path);
    std::vector<Record> records;
    for (Record record; records.size() < 3 && reader.next(record);) {
      if (!record.has_prompt() && !record.is_conversation()) return {};
      if (record.has_prompt() || record.last_reply() > 0) records.push_back(record);  // records with a reply
    }
    CompletionOptions shorter = options();
    shorter.max_new_tokens = 48;
    return complete(model, *in_.tokenizer, records, shorter);
  }

  void report_scores(const Completions& after, Json& json) const {
    const double task_before = exact_share(before_.task), task_after = exact_share(after.task);
    json["exact_before"] = task_before;
    json["exact_after"] = task_after;
    json["old_before"] = before_.old_skills;
    json["old_after"] = after.old_skills;
    if (in_.settings.json) return;
    std::printf("%-42s %-26s %s\n", "", "before", "after");
    for (std::size_t i = 0; i < after.task.size() && i < 6; ++i) {
      std::string prompt = after.task[i].prompt;
      prompt = prompt.substr(std::min(prompt.size(), prompt.find(": ") + 2));
      if (prompt.size() > 40) prompt = prompt.substr(0, 37) + "...";
      std::printf("  %-40s%-26s%s\n", prompt.c_str(), before_.task[i].found.substr(0, 25).c_str(),
                  after.task[i].found.c_str());
    }
    print_scores("held-out lines, exact match", task_before, task_after);
    print_scores("the old skills, exact match", before_.old_skills, after.old_skills);
  }

  static void print_scores(const char* what, double before, double after) {
    char percent[32];
    std::snprintf(percent, sizeof percent, "%.1f %%", 100 * before);
    std::printf("  %-40s %-26s%.1f %%\n", what, percent, 100 * after);
  }

  const TrainInputs& in_;
  const ExampleOptions& tokenization_;
  Completions before_;
};

}  // namespace veneer::program
