// SPDX-License-Identifier: Apache-2.0
/// \file merge.cpp
/// veneer merge: an adapter folded into its model, as a Hugging Face folder of its own.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct MergeFlags {
  ModelFlags model;
  std::string out;
};

int run_merge(const MergeFlags& flags) {
  Session session(flags.model);
  const std::vector<ModuleChange> changes = session.merge();
  session.save(flags.out);
  std::size_t width = 0;
  for (const ModuleChange& change : changes) width = std::max(width, change.name.size());
  for (const ModuleChange& change : changes) {
    char number[32];
    std::snprintf(number, sizeof number, "  %.6g\n", change.largest_change);
    print(change.name + std::string(width - change.name.size(), ' ') + number);
    if (change.name == "model.embed_tokens.weight" && session.config().tie_word_embeddings)
      note("warning: embedding and head are one weight: the head has changed too");
  }
  flush();
  note(flags.out + ": " + counted(changes.size(), "weight") +
       " changed, each by at most the number that is printed; transformers and veneer load it");
  return done;
}

}  // namespace

void add_merge(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<MergeFlags>();
  CLI::App* command = app.add_subcommand("merge", "fold an adapter into its model");
  flags->model.add_to(*command, true);
  command->add_option("--out", flags->out, "folder to write")->required();
  command->callback([flags, &run] { run = [flags] { return run_merge(*flags); }; });
}

}  // namespace veneer::program
