// SPDX-License-Identifier: Apache-2.0
/// \file data_report.hpp
/// DataReport: the results of checking a data file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/text/examples.hpp"

namespace veneer::program {

/// A histogram of lengths.
class Lengths {
 public:
  void add(std::size_t length) { ++counts_[length]; }
  bool empty() const { return counts_.empty(); }
  std::size_t total() const;
  /// Returns the smallest length that at least this fraction of all lengths does not exceed.
  std::size_t quantile(double share) const;
  /// Returns a bar chart by powers of two.
  std::string chart(const std::string& unit) const;
  Json json() const;

 private:
  std::vector<std::pair<std::size_t, std::size_t>> bars() const;  // the smallest length of a bar, and its count

  std::map<std::size_t, std::size_t> counts_;
};

/// Records with the content of an earlier one, detected by 64-bit hashes: 16 bytes per record.
class Duplicates {
 public:
  void add(const Record& record);
  /// Sorts; call once, after the last record.
  void finish();
  std::size_t count() const { return count_; }
  /// Returns the first few duplicates, as (line, line of the first record with this content).
  const std::vector<std::pair<std::size_t, std::size_t>>& first() const { return first_; }

 private:
  std::vector<std::pair<std::uint64_t, std::size_t>> seen_;  // (hash, line)
  std::vector<std::pair<std::size_t, std::size_t>> first_;
  std::size_t count_ = 0;
};

struct DataReport {
  std::string file;
  std::optional<DatasetFormat> format;
  std::size_t records = 0;  // number of records read
  DatasetReport made;       // of the examples; empty without a tokenizer
  bool tokenised = false;   // lengths are in tokens, not in bytes of text
  std::size_t seq = 0;      // 0: no truncation
  std::size_t over = 0;     // examples longer than seq
  std::size_t lost = 0;     // tokens lost by truncation
  Lengths lengths;
  Duplicates duplicates;
  DatasetNotes empty, warnings;
  std::string error;  // the error, if the file is invalid
  Json error_place;   // reason, line, key, byte

  std::string text() const;
  Json json() const;
};

}  // namespace veneer::program
