// SPDX-License-Identifier: Apache-2.0
/// \file full.cpp
/// compare full: LoRA compared with full fine-tuning on the task shell, with and without replay of the base's own
/// lines: time, memory, quality, file, and the remaining old skills.
#include "command.hpp"

namespace veneer::compare {

namespace {

std::string mebibytes(double bytes) { return fixed(bytes / (1 << 20), 2) + " MiB"; }

}  // namespace

void report_full(const Flags& flags) {
  const Bed bed(flags.data);
  std::vector<Setting> settings;
  std::vector<std::string> names;
  for (const double replay : {0.0, 0.125}) {
    for (const Method method : {Method::lora, Method::full}) {
      Setting setting = chosen(method);
      setting.replay = replay;
      settings.push_back(setting);
      names.push_back(std::string(name_of(method)) + (replay > 0 ? ", 4 of 32 replayed" : ""));
    }
  }
  const Scores before = bed.untrained("shell", flags.scope());
  const std::vector<Group> groups = over_seeds(bed, settings, flags);
  Table table(
      {"", "parameters", "exact match, %", "old skills, %", "prose, nats", "time, LoRA = 1", "peak memory", "file"});
  table.add({"base", "0", fixed(100 * before.exact, 1), fixed(100 * before.old_skills, 1), fixed(before.prose, 3), "-",
             "-", "-"});
  Chart chart{"LoRA and full training, exact match", "", "%"}, prose{"Loss on prose", "", "nats per token"};
  ChartSeries task{"task shell", {}}, old{"old skills", {}}, loss{"", {}};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const Group& group = groups[i];
    const Footprint footprint = bed.footprint(flags.sized(settings[i]), std::min<index_t>(12, flags.steps));
    table.add({names[i], with_commas(group.trainable), shown(group.exact, 1), shown(group.old_skills, 1),
               shown(group.prose, 3), shown(group.time, 2), mebibytes(footprint.peak), mebibytes(footprint.file)});
    const auto x = static_cast<double>(i);
    for (Chart* panel : {&chart, &prose})
      panel->categories.push_back(std::string(name_of(settings[i].method)) +
                                  (settings[i].replay > 0 ? "\n+ replay" : ""));
    task.points.push_back(point(x, group.exact));
    old.points.push_back(point(x, group.old_skills));
    loss.points.push_back(point(x, group.prose));
  }
  chart.series = {task, old}, prose.series = {loss};
  chart.low = 0.0, chart.high = 100.0;
  publish(table, {chart, prose}, flags.out / "compare_full.svg");
}

}  // namespace veneer::compare
