// SPDX-License-Identifier: Apache-2.0
/// \file command.hpp
/// Common parts of the comparisons: flags, and results over several seeds.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "bed.hpp"
#include "chosen.hpp"
#include "report.hpp"

namespace veneer::compare {

struct Flags {
  std::filesystem::path data = VENEER_SHIPPED_DATA, out = "out/compare";
  index_t steps = 300, batch = 32;
  std::size_t seeds = 3;
  std::size_t lines = 0;     // of each held-out file; 0: all
  std::string what = "all";  // of tune

  /// Returns the setting with the steps and the lines per step given by the flags.
  Setting sized(Setting setting, std::uint64_t seed = 1) const {
    setting.steps = steps, setting.batch = batch, setting.seed = seed;
    return setting;
  }
  Scope scope() const { return {.lines = lines}; }
};

void report_parameters(const Flags& flags);
void report_full(const Flags& flags);
void report_ranks(const Flags& flags);
void report_methods(const Flags& flags);
void report_swap(const Flags& flags);
void tune(const Flags& flags);

/// The results of one setting over all seeds; fractions are in percent.
struct Group {
  Summary exact, old_skills, prose, training_loss, time, speed;
  index_t trainable = 0;
};

/// Trains all settings together, once per seed.
inline std::vector<Group> over_seeds(const Bed& bed, const std::vector<Setting>& settings, const Flags& flags,
                                     std::uint64_t first_seed = 1) {
  std::vector<std::vector<Outcome>> by_setting(settings.size());
  for (std::uint64_t seed = first_seed; seed < first_seed + flags.seeds; ++seed) {
    std::vector<Setting> seeded = settings;
    for (Setting& setting : seeded) setting = flags.sized(setting, seed);
    const std::vector<Outcome> outcomes = bed.run(seeded, flags.scope());
    for (std::size_t i = 0; i < settings.size(); ++i) by_setting[i].push_back(outcomes[i]);
  }
  std::vector<Group> groups;
  for (const std::vector<Outcome>& outcomes : by_setting) {
    const auto over = [&](double factor, const std::function<double(const Outcome&)>& of) {
      std::vector<double> values;
      for (const Outcome& outcome : outcomes) values.push_back(factor * of(outcome));
      return summary(values);
    };
    Group group;
    group.exact = over(100, [](const Outcome& o) { return o.scores.exact; });
    group.old_skills = over(100, [](const Outcome& o) { return o.scores.old_skills; });
    group.prose = over(1, [](const Outcome& o) { return o.scores.prose; });
    group.training_loss = over(1, [](const Outcome& o) { return o.scores.training_loss; });
    group.time = over(1, [](const Outcome& o) { return o.relative_time; });
    group.speed = over(1, [](const Outcome& o) { return o.tokens_per_second; });
    group.trainable = outcomes.empty() ? 0 : outcomes.front().trainable;
    groups.push_back(group);
  }
  return groups;
}

/// Returns a bar or a dot with its standard error.
inline ChartPoint point(double x, const Summary& y) { return {x, y.mean, y.error}; }

}  // namespace veneer::compare
