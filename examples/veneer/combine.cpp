// SPDX-License-Identifier: Apache-2.0
/// \file combine.cpp
/// veneer combine: combines several LoRA adapters into one with weights, like PEFT's add_weighted_adapter.
#include "veneer/peft/combine.hpp"

#include <memory>

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct CombineFlags {
  ModelFlags model;
  std::vector<double> weights;
  std::string type = "cat", majority_sign = "total", out;
  CombineOptions options;
};

int run_combine(const CombineFlags& flags) {
  const std::vector<std::string>& folders = flags.model.adapters;
  expects(flags.weights.empty() || flags.weights.size() == folders.size(),
          "--weight: given " + std::to_string(flags.weights.size()) + " times for " +
              counted(folders.size(), "adapter") + "; expected one for each, in their order, or none");
  CombineOptions options = flags.options;
  options.type = combination_named(flags.type);
  options.majority_sign = flags.majority_sign == "total" ? MajoritySign::total : MajoritySign::frequency;
  std::vector<WeightedAdapter> parts;
  for (std::size_t i = 0; i < folders.size(); ++i)
    parts.push_back({folders[i], flags.weights.empty() ? 1.0 : flags.weights[i]});
  const AdapterChange change = combine_adapters(flags.model, parts, options, flags.out);
  note(flags.out + ": " + counted(change.plan.modules.size(), "module") + ", rank " + std::to_string(change.config.r));
  return done;
}

}  // namespace

void add_combine(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<CombineFlags>();
  CLI::App* command = app.add_subcommand("combine", "combine several adapters into one");
  flags->model.add_to(*command, true);
  CombineOptions& options = flags->options;
  command->add_option("--weight", flags->weights, "weight of each adapter, in their order; 1 by default")
      ->type_size(1)
      ->allow_extra_args(false);
  command->add_option("--type", flags->type, "linear, cat, svd, ties, dare_linear, dare_ties, magnitude_prune, ..._svd")
      ->capture_default_str();
  command->add_option("--rank", options.rank, "rank for svd and ..._svd; 0: the largest of the adapters")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--density", options.density, "fraction of values kept by ties, dare and magnitude_prune")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--majority-sign", flags->majority_sign, "election of the sign in ties")
      ->check(CLI::IsMember({"total", "frequency"}))
      ->capture_default_str();
  command->add_option("--seed", options.seed, "seed of the masks of dare")->capture_default_str();
  command->add_option("--out", flags->out, "folder to write")->required();
  command->callback([flags, &run] { run = [flags] { return run_combine(*flags); }; });
}

}  // namespace veneer::program
