// SPDX-License-Identifier: Apache-2.0
/// \file data_report.hpp
/// What is to be said of a file of data before anybody trains on it.
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

/// How often each length occurs.
class Lengths {
 public:
  void add(std::size_t length) { ++counts_[length]; }
  bool empty() const { return counts_.empty(); }
  std::size_t total() const;
  /// The smallest length that at least this share of all does not pass.
  std::size_t quantile(double share) const;
  /// Bars by powers of two.
  std::string chart(const std::string& unit) const;
  Json json() const;

 private:
  std::vector<std::pair<std::size_t, std::size_t>> bars() const;  // the first length of a bar, and its count

  std::map<std::size_t, std::size_t> counts_;
};

/// Records with the content of one before, told by 64-bit hashes: 16 bytes a record.
class Duplicates {
 public:
  void add(const Record& record);
  /// Sorts; call once, behind the last record.
  void finish();
  std::size_t count() const { return count_; }
  /// (line, line of the first of its kind), the first few.
  const std::vector<std::pair<std::size_t, std::size_t>>& first() const { return first_; }

 private:
  std::vector<std::pair<std::uint64_t, std::size_t>> seen_;  // (hash, line)
  std::vector<std::pair<std::size_t, std::size_t>> first_;
  std::size_t count_ = 0;
};

struct DataReport {
  std::string file;
  std::optional<DatasetFormat> format;
  std::size_t records = 0;  // that were read
  DatasetReport made;       // of the examples; empty without a tokenizer
  bool tokenised = false;   // lengths are in tokens, not in bytes of text
  std::size_t seq = 0;      // 0: nothing is cut
  std::size_t over = 0;     // examples longer than seq
  std::size_t lost = 0;     // tokens that a cut drops
  Lengths lengths;
  Duplicates duplicates;
  DatasetNotes empty, warnings;
  std::string error;  // why the file can't be used
  Json error_place;   // reason, line, key, byte

  std::string text() const;
  Json json() const;
};

}  // namespace veneer::program
