// SPDX-License-Identifier: Apache-2.0
/// \file example_rows.hpp
/// ExampleRows: the rows of a data set in a store of examples: one example each, or packed rows.
///
///     packed, rows of T tokens:   all chosen examples, concatenated in order, split every T tokens
///     row k:                      its segments, each a separate sequence
///
/// An example that does not fit continues in the next row as a new segment. The first label of a segment is not used,
/// since no token of it comes before. Segments of a row do not attend to each other, and their positions begin at 0: in
/// a batch they are separate sequences without padding. (Raffel et al. 2020, arXiv:1910.10683, pack; the mask between
/// segments is that of Krell et al. 2021, arXiv:2107.02027.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/label.hpp"
#include "veneer/text/example.hpp"
#include "veneer/text/example_store.hpp"

namespace veneer {

/// Indices of examples of a store; nullopt: all of them.
using ChosenExamples = std::optional<std::vector<std::size_t>>;

class ExampleRows {
 public:
  ExampleRows() = default;

  /// Returns one row per example, truncated to `length` tokens. 0: any length.
  static ExampleRows whole(std::shared_ptr<const ExampleStore> store, ChosenExamples chosen = {},
                           std::size_t length = 0) {
    ExampleRows rows(std::move(store), std::move(chosen), length);
    rows.size_ = rows.examples();
    return rows;
  }

  /// Returns rows of `length` tokens; the last may be shorter.
  static ExampleRows packed(std::shared_ptr<const ExampleStore> store, std::size_t length, ChosenExamples chosen = {}) {
    expects(length > 0, "veneer::ExampleRows::packed(store, length): a row has at least one token");
    ExampleRows rows(std::move(store), std::move(chosen), length);
    rows.cut();
    rows.size_ = rows.begins_.size();
    return rows;
  }

  /// Returns the packed rows with an active target: some may have none. Reads all rows once.
  ExampleRows learned() const {
    ExampleRows rows = *this;
    rows.begins_.clear();
    for (std::size_t row = 0; row < begins_.size(); ++row) {
      bool any = false;
      for (const Example& segment : (*this)[row]) {
        for (std::size_t i = 1; i < segment.labels.size(); ++i) any = any || segment.labels[i] != ignored_label;
      }
      if (any) rows.begins_.push_back(begins_[row]);
    }
    rows.size_ = rows.begins_.size();
    return rows;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  /// Returns the segments of a row. Throws `IoError`.
  std::vector<Example> operator[](std::size_t row) const {
    expects(row < size_, "veneer::ExampleRows[row]: there is no such row");
    if (begins_.empty()) {
      const std::size_t all = store_->length(number(row));
      return {store_->part(number(row), 0, length_ == 0 ? all : std::min(all, length_))};
    }
    std::vector<Example> segments;
    Begin at = begins_[row];
    for (std::size_t room = length_; room > 0 && at.place < examples(); ++at.place, at.token = 0) {
      const std::size_t count = std::min(room, store_->length(number(at.place)) - at.token);
      if (count == 0) continue;
      segments.push_back(store_->part(number(at.place), at.token, count));
      segments.back().labels.front() = ignored_label;
      room -= count;
    }
    return segments;
  }

 private:
  /// The begin of a row: a token of an example.
  struct Begin {
    std::size_t place = 0;  // among the chosen examples
    std::size_t token = 0;
  };

  ExampleRows(std::shared_ptr<const ExampleStore> store, ChosenExamples chosen, std::size_t length)
      : store_(std::move(store)), chosen_(std::move(chosen)), length_(length) {}

  std::size_t examples() const { return chosen_ ? chosen_->size() : store_->size(); }
  std::size_t number(std::size_t place) const { return chosen_ ? (*chosen_)[place] : place; }

  void cut() {
    std::size_t room = 0;  // in the row that is being filled
    for (std::size_t place = 0; place < examples(); ++place) {
      const std::size_t all = store_->length(number(place));
      std::size_t token = std::min(room, all);
      room -= token;
      for (; token < all; token += std::min(length_, all - token)) {
        begins_.push_back({place, token});
        room = length_ - std::min(length_, all - token);
      }
    }
  }

  std::shared_ptr<const ExampleStore> store_;
  ChosenExamples chosen_;
  std::size_t length_ = 0;
  std::size_t size_ = 0;
  std::vector<Begin> begins_;  // of packed rows
};

}  // namespace veneer
