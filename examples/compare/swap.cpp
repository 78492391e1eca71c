// SPDX-License-Identifier: Apache-2.0
/// \file swap.cpp
/// compare swap: an adapter for iso and one for shell, exchanged on one base in memory.
#include "command.hpp"

namespace veneer::compare {

void report_swap(const Flags& flags) {
  const Bed bed(flags.data);
  const Setting shell = flags.sized(chosen(Method::lora));
  Setting iso = shell;
  iso.task = "iso";
  const SwapReport report = bed.swap(iso, shell, flags.scope());
  const std::vector<std::string> rows{"no adapter", "adapter iso", "adapter shell"};
  Table table({"in the slots", "iso, %", "shell, %"});
  Chart chart{"Two adapters on one base, exact match", "", "%"};
  chart.categories = rows;
  chart.series = {{"task iso", {}}, {"task shell", {}}};
  chart.low = 0.0, chart.high = 100.0;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    table.add({rows[row], fixed(100 * report.exact[row][0], 1), fixed(100 * report.exact[row][1], 1)});
    for (std::size_t task = 0; task < 2; ++task)
      chart.series[task].points.push_back({static_cast<double>(row), 100 * report.exact[row][task]});
  }
  publish(table, {chart}, flags.out / "compare_swap.svg");
  std::printf(
      "\na swap takes %.1f us and %.0f bytes; loading an adapter from its folder %.2f ms\n"
      "in memory: the base %.2f MiB, an adapter %.2f MiB\n",
      1e6 * report.swap_seconds, report.swap_bytes, 1e3 * report.load_seconds, report.base_bytes / (1 << 20),
      report.adapter_bytes / (1 << 20));
}

}  // namespace veneer::compare
