// SPDX-License-Identifier: Apache-2.0
/// \file merge.cpp
/// veneer merge: merges an adapter into its model and writes a new Hugging Face folder.
#include "veneer/peft/merge.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct MergeFlags {
  ModelFlags model;
  std::string out, dequantize;
  MergeOptions options;
};

const std::map<std::string, QuantizedFrom> dense_types{
    {"float32", QuantizedFrom::float32}, {"float16", QuantizedFrom::float16}, {"bfloat16", QuantizedFrom::bfloat16}};

/// Prints name, largest change, and for a 4-bit weight the relative error.
void print_weight(const MergedWeight& weight, std::size_t width) {
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, weight.packed ? "  %-12.6g  %.4f\n" : "  %.6g\n", weight.largest_change,
                weight.relative_error);
  print(weight.name + std::string(width - weight.name.size(), ' ') + numbers);
}

void warn_of_errors(const std::vector<MergedWeight>& weights) {
  double worst = 0.0;
  std::size_t packed = 0;
  for (const MergedWeight& weight : weights) {
    packed += weight.packed ? 1u : 0u;
    worst = std::max(worst, weight.packed ? weight.relative_error : 0.0);
  }
  if (packed == 0) return;
  char text[256];
  std::snprintf(text, sizeof text,
                "warning: %s quantised again, at a loss of up to %.4f of its size (root mean square, the second "
                "number): --dequantize writes the sums in 16 bits",
                counted(packed, "weight").c_str(), worst);
  note(text);
}

void warn_of_rounding(const std::vector<MergedWeight>& weights) {
  const double lost = lost_fraction(weights);
  if (lost == 0.0) return;
  char text[256];
  std::snprintf(text, sizeof text,
                "warning: rounding to 16 bits loses %.2g of the adapter's change (the norm of the loss relative to "
                "that of the change, of all weights together): --dtype float32 keeps all of it",
                lost);
  note(text);
}

int run_merge(const MergeFlags& flags) {
  const std::string& type = flags.model.dtype;
  expects(type == "auto" || type == "float32",
          "merge --dtype " + type + ": expected auto, which keeps the type of each weight, or float32");
  const bool widen = type == "float32";
  MergeOptions options = flags.options;
  if (widen) options.dequantize = QuantizedFrom::float32;
  if (!flags.dequantize.empty()) options.dequantize = dense_types.at(flags.dequantize);
  Session session(flags.model);
  if (widen) session.widen();
  const bool follows = session.head_follows();
  const std::vector<MergedWeight> weights = session.merge(options);
  session.save(flags.out);
  std::size_t width = 0;
  for (const MergedWeight& weight : weights) width = std::max(width, weight.name.size());
  for (const MergedWeight& weight : weights) {
    print_weight(weight, width);
    if (weight.name == "model.embed_tokens.weight" && session.config().tie_word_embeddings && !follows)
      note("warning: embedding and head are one weight: the head has changed too");
  }
  flush();
  warn_of_errors(weights);
  warn_of_rounding(weights);
  note(flags.out + ": " + counted(weights.size(), "weight") +
       " changed, each by at most the printed number; transformers and veneer load it");
  return done;
}

}  // namespace

void add_merge(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<MergeFlags>();
  flags->model.dtype = "auto";
  CLI::App* command = app.add_subcommand("merge", "merge an adapter into its model");
  flags->model.add_to(*command, true);
  command->get_option("--dtype")->description(
      "float32: write every weight in 32 bits, so that rounding loses nothing; auto: each keeps its type");
  command->add_option("--out", flags->out, "folder to write")->required();
  command
      ->add_option("--max-error", flags->options.max_error,
                   "largest allowed relative error of a weight that is quantised again")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--dequantize", flags->dequantize,
                   "write quantised weights as bfloat16 (the default), float16 or float32")
      ->expected(0, 1)
      ->default_str("bfloat16")
      ->check(CLI::IsMember({"bfloat16", "float16", "float32"}));
  command->callback([flags, &run] { run = [flags] { return run_merge(*flags); }; });
}

}  // namespace veneer::program
