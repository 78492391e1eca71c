// SPDX-License-Identifier: Apache-2.0
/// \file ranks.cpp
/// compare ranks: LoRA of rank 1 to 64 on the task shell: parameters, quality, training loss, speed.
#include "command.hpp"

namespace veneer::compare {

void report_ranks(const Flags& flags) {
  const Bed bed(flags.data);
  std::vector<Setting> settings;
  for (index_t rank = 1; rank <= 64; rank *= 2) settings.push_back(chosen(rank));
  const std::vector<Group> groups = over_seeds(bed, settings, flags);
  Table table({"rank", "rate", "parameters", "exact match, %", "training loss", "old skills, %", "prose, nats",
               "tokens/s", "time, r 1 = 1"});
  Chart quality{"Task shell, exact match", "rank", "%"}, loss{"Training loss", "rank", "nats per token"},
      time{"Time of a step, rank 1 = 1", "rank", "ratio"};
  ChartSeries exact{"", {}}, learnt{"", {}}, ratio{"", {}};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    const Group& group = groups[i];
    table.add({std::to_string(settings[i].rank), rate_text(settings[i].rate), with_commas(group.trainable),
               shown(group.exact, 1), shown(group.training_loss, 3), shown(group.old_skills, 1), shown(group.prose, 2),
               fixed(group.speed.mean, 0), shown(group.time, 2)});
    const auto x = static_cast<double>(settings[i].rank);
    exact.points.push_back(point(x, group.exact));
    learnt.points.push_back(point(x, group.training_loss));
    ratio.points.push_back(point(x, group.time));
  }
  quality.series = {exact}, loss.series = {learnt}, time.series = {ratio};
  quality.low = 0.0, quality.high = 100.0;
  for (Chart* chart : {&quality, &loss, &time}) chart->log2_x = true;
  publish(table, {quality, loss, time}, flags.out / "compare_ranks.svg");
}

}  // namespace veneer::compare
