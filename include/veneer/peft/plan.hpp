// SPDX-License-Identifier: Apache-2.0
/// \file plan.hpp
/// AdapterPlan: the changes of a model by an adapter, module by module, before or after attaching.
///
/// The last line of its text is PEFT's:
///   trainable params: 8,720 || all params: 142,160 || trainable%: 6.1339
/// where "all" includes the base once, every adapter value, and every copy of a module trained in full.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ostream>
#include <string>
#include <vector>

#include "veneer/core/shape.hpp"

namespace veneer {

/// One adapted module.
struct AdaptedModule {
  std::string name;
  index_t out = 0, in = 0;
  index_t rank = 0;
  double alpha = 0.0;
  double scaling = 0.0;
  index_t parameters = 0;
  index_t untrained = 0;  // values that PEFT counts but does not train
};

/// A trained weight or bias of the base.
struct TrainedWeight {
  std::string name;
  index_t parameters = 0;
  bool copied = false;  // in addition to the original (modules_to_save), not replacing it
};

/// Trained rows of an embedding or a head.
struct TrainedTokens {
  std::string name;  // of the module
  std::vector<std::int32_t> ids;
  index_t features = 0;
  bool shared = false;  // with the head that is tied to this embedding

  index_t parameters() const { return static_cast<index_t>(ids.size()) * features; }
};

struct AdapterPlan {
  std::vector<AdaptedModule> modules;
  std::vector<TrainedWeight> trained;
  std::vector<TrainedTokens> tokens{};
  std::vector<std::string> warnings;
  index_t base_parameters = 0;

  index_t trainable() const {
    index_t sum = 0;
    for (const AdaptedModule& m : modules) sum += m.parameters;
    for (const TrainedWeight& w : trained) sum += w.parameters;
    return sum + token_parameters();
  }
  index_t all() const {
    index_t sum = base_parameters;
    for (const AdaptedModule& m : modules) sum += m.parameters + m.untrained;
    for (const TrainedWeight& w : trained) sum += w.copied ? w.parameters : 0;
    return sum + token_parameters();
  }
  index_t token_parameters() const {
    index_t sum = 0;
    for (const TrainedTokens& t : tokens) sum += t.parameters();
    return sum;
  }
};

/// Returns the module with this name, or null.
inline const AdaptedModule* find_module(const AdapterPlan& plan, const std::string& name) {
  for (const AdaptedModule& module : plan.modules)
    if (module.name == name) return &module;
  return nullptr;
}

/// Formats a number with commas: 6738415616 as "6,738,415,616".
inline std::string with_commas(index_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

/// Returns PEFT's line, character by character.
inline std::string parameter_line(index_t trainable, index_t all) {
  char share[64];
  std::snprintf(share, sizeof share, "%.4f",
                all == 0 ? 0.0 : 100.0 * static_cast<double>(trainable) / static_cast<double>(all));
  return "trainable params: " + with_commas(trainable) + " || all params: " + with_commas(all) +
         " || trainable%: " + share;
}

/// Prints a table of modules, the warnings, and PEFT's line.
inline std::ostream& operator<<(std::ostream& out, const AdapterPlan& plan) {
  std::size_t width = 6;
  for (const AdaptedModule& m : plan.modules) width = std::max(width, m.name.size());
  for (const TrainedWeight& w : plan.trained) width = std::max(width, w.name.size());
  for (const TrainedTokens& t : plan.tokens) width = std::max(width, t.name.size());
  char line[160];
  const auto row = [&](const std::string& name, const std::string& rest) {
    out << name << std::string(width - name.size(), ' ') << rest << '\n';
  };
  if (!plan.modules.empty()) row("module", "      out       in  rank    alpha  scaling  parameters");
  for (const AdaptedModule& m : plan.modules) {
    std::snprintf(line, sizeof line, " %8lld %8lld %5lld %8g %8.4g %11s", static_cast<long long>(m.out),
                  static_cast<long long>(m.in), static_cast<long long>(m.rank), m.alpha, m.scaling,
                  with_commas(m.parameters).c_str());
    row(m.name, line);
  }
  for (const TrainedWeight& w : plan.trained)
    row(w.name, "  trained in full, " + with_commas(w.parameters) + " parameters");
  for (const TrainedTokens& t : plan.tokens)
    row(t.name, "  " + std::to_string(t.ids.size()) + (t.ids.size() == 1 ? " token" : " tokens") + " trained" +
                    (t.shared ? ", shared with the head" : "") + ", " + with_commas(t.parameters()) + " parameters");
  for (const std::string& warning : plan.warnings) out << "warning: " << warning << '\n';
  return out << parameter_line(plan.trainable(), plan.all()) << '\n';
}

}  // namespace veneer
