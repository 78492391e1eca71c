// SPDX-License-Identifier: Apache-2.0
/// \file tune.cpp
/// compare tune: the grids from which chosen.hpp was chosen. Scores only validation lines of shell, with other seeds
/// than the reports. The best mean is chosen, among equals the smaller rate.
#include "command.hpp"

namespace veneer::compare {

namespace {

constexpr std::uint64_t first_seed = 101;

/// Trains all settings of a grid together and prints the scores.
void search(const Bed& bed, const std::string& name, const std::vector<Setting>& grid, const Flags& flags) {
  std::vector<std::vector<double>> exact(grid.size());
  for (std::uint64_t seed = first_seed; seed < first_seed + flags.seeds; ++seed) {
    std::vector<Setting> seeded = grid;
    for (Setting& setting : seeded) setting = flags.sized(setting, seed);
    const Scope scope{.split = "valid", .lines = flags.lines, .others = false};
    const std::vector<Outcome> outcomes = bed.run(seeded, scope);
    for (std::size_t i = 0; i < grid.size(); ++i) exact[i].push_back(100 * outcomes[i].scores.exact);
  }
  Table table({name, "rank", "rate", "alpha", "orthogonality", "exact match, %"});
  std::size_t best = 0;
  for (std::size_t i = 0; i < grid.size(); ++i) {
    if (summary(exact[i]).mean > summary(exact[best]).mean) best = i;
  }
  for (std::size_t i = 0; i < grid.size(); ++i) {
    const bool adaptive = grid[i].method == Method::adalora, full = grid[i].method == Method::full;
    table.add({i == best ? "chosen" : "", full ? "-" : std::to_string(grid[i].rank), rate_text(grid[i].rate),
               full ? "-" : fixed(grid[i].alpha, 0), adaptive ? fixed(grid[i].orthogonality, 2) : "-",
               shown(summary(exact[i]), 1)});
  }
  std::printf("%s\n", table.text().c_str());
  std::fflush(stdout);
}

std::vector<Setting> grid_of(Method method) {
  std::vector<Setting> grid;
  Setting setting = chosen(method);
  if (method == Method::adalora) {
    for (const double rate : {5e-3, 1e-2, 2e-2}) {
      for (const double alpha : {24.0, 96.0}) {
        for (const double orthogonality : {0.1, 0.5}) {
          setting.rate = rate, setting.alpha = alpha, setting.orthogonality = orthogonality;
          grid.push_back(setting);
        }
      }
    }
    return grid;
  }
  const double scale = method == Method::full ? 0.1 : 1.0;
  for (const double rate : {2.5e-3, 5e-3, 1e-2, 2e-2}) {
    setting.rate = scale * rate;
    grid.push_back(setting);
  }
  return grid;
}

std::vector<Setting> grid_of(index_t rank) {
  std::vector<Setting> grid;
  const double least = rank < 8 ? 5e-3 : 2.5e-3;
  for (const double factor : {1.0, 2.0, 4.0, 8.0}) {
    Setting setting = chosen(rank);
    setting.rate = least * factor;
    grid.push_back(setting);
  }
  return grid;
}

}  // namespace

void tune(const Flags& flags) {
  const Bed bed(flags.data);
  for (const Method method : {Method::lora, Method::qlora, Method::dora, Method::adalora, Method::full}) {
    if (flags.what == "ranks") break;
    search(bed, name_of(method), grid_of(method), flags);
  }
  for (index_t rank = 1; rank <= 64; rank *= 2) {
    if (flags.what == "methods") break;
    if (rank == 8) continue;  // LoRA's own grid
    search(bed, "rank " + std::to_string(rank), grid_of(rank), flags);
  }
}

}  // namespace veneer::compare
