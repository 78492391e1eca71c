// SPDX-License-Identifier: Apache-2.0
/// \file report.hpp
/// Output of the comparisons: means with standard errors, tables in Markdown, pictures.
///
///   standard error = sqrt(sum (x - mean)^2 / (n - 1) / n)      over seeds; none for one seed
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "veneer/io/file.hpp"

#include "common/chart.hpp"

namespace veneer::compare {

struct Summary {
  double mean = 0.0, error = 0.0;
  std::size_t count = 0;
};

inline Summary summary(const std::vector<double>& values) {
  Summary found;
  found.count = values.size();
  if (values.empty()) return found;
  for (const double value : values) found.mean += value / static_cast<double>(values.size());
  if (values.size() < 2) return found;
  double squares = 0.0;
  for (const double value : values) squares += (value - found.mean) * (value - found.mean);
  const auto n = static_cast<double>(values.size());
  found.error = std::sqrt(squares / (n - 1.0) / n);
  return found;
}

inline std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

/// Formats a learning rate, such as "5.0e-03".
inline std::string rate_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  return text;
}

/// Formats a mean as "78.3 ± 1.2"; without the error if there is none.
inline std::string shown(const Summary& found, int decimals) {
  if (found.count == 0) return "-";
  if (found.count == 1) return fixed(found.mean, decimals);
  return fixed(found.mean, decimals) + " ± " + fixed(found.error, decimals);
}

class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  /// Returns Markdown with aligned columns, the first to the left, the others to the right.
  std::string text() const {
    std::vector<std::size_t> widths(rows_.front().size(), 3);
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], length(row[i]));
    }
    std::string out;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      for (std::size_t i = 0; i < widths.size(); ++i) {
        const std::string cell = i < rows_[r].size() ? rows_[r][i] : std::string();
        const std::string space(widths[i] - length(cell), ' ');
        out += (i == 0 ? "| " : " ") + (i == 0 ? cell + space : space + cell) + " |";
      }
      out += "\n";
      if (r > 0) continue;
      for (std::size_t i = 0; i < widths.size(); ++i)
        out += (i == 0 ? "| " : " ") + std::string(widths[i] - 1, '-') + (i == 0 ? "- |" : ": |");
      out += "\n";
    }
    return out;
  }

 private:
  /// Returns the number of characters, not bytes, of UTF-8.
  static std::size_t length(const std::string& text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  }

  std::vector<std::vector<std::string>> rows_;
};

/// Prints the table and writes the picture.
inline void publish(const Table& table, const std::vector<Chart>& panels, const std::filesystem::path& picture) {
  std::printf("%s", table.text().c_str());
  std::fflush(stdout);
  if (picture.has_parent_path()) std::filesystem::create_directories(picture.parent_path());
  write_atomically(picture, chart_svg(panels));
  std::fprintf(stderr, "wrote %s\n", picture.string().c_str());
}

}  // namespace veneer::compare
