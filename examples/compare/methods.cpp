// SPDX-License-Identifier: Apache-2.0
/// \file methods.cpp
/// compare methods: LoRA, QLoRA, DoRA, AdaLoRA and full training on the task shell, each with the setting chosen for it
/// on validation lines.
#include "command.hpp"

namespace veneer::compare {

void report_methods(const Flags& flags) {
  const Bed bed(flags.data);
  const std::vector<Method> methods{Method::lora, Method::qlora, Method::dora, Method::adalora, Method::full};
  std::vector<Setting> settings;
  for (const Method method : methods) settings.push_back(chosen(method));
  const Scores before = bed.untrained("shell", flags.scope());
  const std::vector<Group> groups = over_seeds(bed, settings, flags);
  Table table({"method", "rate", "parameters", "exact match, %", "old skills, %", "prose, nats", "training loss",
               "time, LoRA = 1"});
  table.add({"none", "-", "0", fixed(100 * before.exact, 1), fixed(100 * before.old_skills, 1), fixed(before.prose, 3),
             fixed(before.training_loss, 3), "-"});
  Chart quality{"Task shell, exact match", "", "%"}, kept{"Old skills, exact match", "", "%"};
  ChartSeries task{"", {}}, old{"", {}};
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const Group& group = groups[i];
    table.add({name_of(methods[i]), rate_text(settings[i].rate), with_commas(group.trainable), shown(group.exact, 1),
               shown(group.old_skills, 1), shown(group.prose, 3), shown(group.training_loss, 3), shown(group.time, 2)});
    for (Chart* chart : {&quality, &kept}) chart->categories.push_back(name_of(methods[i]));
    task.points.push_back(point(static_cast<double>(i), group.exact));
    old.points.push_back(point(static_cast<double>(i), group.old_skills));
  }
  quality.series = {task}, kept.series = {old};
  quality.low = kept.low = 0.0, quality.high = kept.high = 100.0;
  publish(table, {quality, kept}, flags.out / "compare_methods.svg");
}

}  // namespace veneer::compare
