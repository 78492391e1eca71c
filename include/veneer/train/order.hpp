// SPDX-License-Identifier: Apache-2.0
/// \file order.hpp
/// DataOrder: the lines of the data used in each step. A function of the seed and the step only, so a run that is
/// resumed at any step continues with the same lines, and no position has to be saved.
///
/// Epoch e is a permutation drawn from stream e of the seed (Fisher and Yates), or file order. With replay, a fraction
/// of every batch comes from a second data set in the same way, to preserve old skills while a new one is trained. A
/// line is any unit of a batch: an example, or a packed row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"
#include "veneer/core/random.hpp"
#include "veneer/core/shape.hpp"
#include "veneer/train/batch.hpp"

namespace veneer {

/// An endless iteration over `count` lines, epoch after epoch.
class EpochWalk {
 public:
  EpochWalk() = default;
  EpochWalk(index_t count, bool shuffle, RandomStream source) : count_(count), shuffle_(shuffle), source_(source) {}

  index_t count() const { return count_; }

  /// Returns the line at a position of the endless sequence.
  index_t at(index_t position) {
    const index_t epoch = position / count_, place = position % count_;
    if (!shuffle_) return place;
    if (epoch != epoch_ || order_.empty()) draw(epoch);
    return order_[static_cast<std::size_t>(place)];
  }

 private:
  void draw(index_t epoch) {
    order_.resize(static_cast<std::size_t>(count_));
    std::iota(order_.begin(), order_.end(), index_t{0});
    RandomSequence random{{source_.seed, source_.stream + static_cast<std::uint64_t>(epoch)}, 0};
    for (std::size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
    epoch_ = epoch;
  }

  index_t count_ = 0;
  bool shuffle_ = false;
  RandomStream source_{};
  index_t epoch_ = -1;
  std::vector<index_t> order_;
};

/// A line of the data, or of the replayed data.
struct Pick {
  bool replayed = false;
  index_t line = 0;
};

class DataOrder {
 public:
  /// \param batch  lines per micro-batch
  /// \param replay_share  fraction of every batch that comes from the second data set, in [0, 1); 0 when
  /// replay_lines is 0
  /// \param total  new lines after which the run ends, for example epochs * lines; 0: endless
  DataOrder(index_t lines, index_t batch, bool shuffle, std::uint64_t seed, index_t replay_lines = 0,
            double replay_share = 0.0, index_t total = 0)
      : batch_(batch),
        total_(total),
        fresh_(lines, shuffle, {seed, std::uint64_t{1} << 40}),
        replay_(replay_lines, shuffle, {seed, std::uint64_t{1} << 41}) {
    expects(lines > 0, "veneer::DataOrder: the data has no lines");
    expects(batch > 0, "veneer::DataOrder: a batch must hold at least one line");
    expects(total >= 0, "veneer::DataOrder: the number of lines of a run can't be negative");
    expects(replay_share >= 0.0 && replay_share < 1.0,
            "veneer::DataOrder: the fraction of replayed lines must be in [0, 1)");
    replayed_ = replay_lines == 0 ? 0 : static_cast<index_t>(std::llround(static_cast<double>(batch) * replay_share));
    expects(replayed_ < batch,
            "veneer::DataOrder: the fraction of replayed lines leaves a batch without a new one: larger batches, or a "
            "smaller share");
  }

  /// Returns the number of new lines of a batch; the rest is replayed.
  index_t fresh_per_batch() const { return batch_ - replayed_; }

  /// Returns the lines of a micro-batch, counted from 0 over the whole run. The last batch of a run has the remaining
  /// new lines, and replayed ones in proportion; batches after it are empty.
  std::vector<Pick> batch(index_t number) {
    const index_t full = fresh_per_batch(), begin = number * full;
    const index_t fresh = total_ == 0 ? full : std::clamp<index_t>(total_ - begin, 0, full);
    const index_t replayed = (replayed_ * fresh + full / 2) / full;
    std::vector<Pick> picks;
    for (index_t i = 0; i < fresh; ++i) picks.push_back({false, fresh_.at(begin + i)});
    for (index_t i = 0; i < replayed; ++i) picks.push_back({true, replay_.at(number * replayed_ + i)});
    return picks;
  }

 private:
  index_t batch_, total_, replayed_ = 0;
  EpochWalk fresh_, replay_;
};

/// Returns the lines of a micro-batch as a batch.
/// \param fresh, replayed  the data, and the second data set, with the numbers of rows of the order
template <BatchRows Fresh, BatchRows Replayed = Fresh>
Batch batch_of(DataOrder& order, index_t number, const Fresh& fresh, const Replayed& replayed = {}) {
  Batch batch;
  for (const Pick& pick : order.batch(number)) {
    const auto row = static_cast<std::size_t>(pick.line);
    if (pick.replayed) {
      batch.add(replayed[row]);
    } else {
      batch.add(fresh[row]);
    }
  }
  return batch;
}

/// A split of the rows of a data set: held-out rows and training rows, both in their order.
struct HeldOut {
  std::vector<std::size_t> out, kept;
};

/// Draws a fraction `share` of `count` rows to be held out: at least one, unless the fraction is 0 or there is
/// only one row.
inline HeldOut hold_out(std::size_t count, double share, std::uint64_t seed) {
  expects(share >= 0.0 && share < 1.0, "veneer::hold_out: the fraction must be in [0, 1)");
  std::size_t held = static_cast<std::size_t>(share * static_cast<double>(count));
  if (share > 0.0 && held == 0 && count > 1) held = 1;
  EpochWalk walk(static_cast<index_t>(count), true, {seed, std::uint64_t{1} << 42});
  HeldOut rows;
  for (std::size_t i = 0; i < count; ++i)
    (i < held ? rows.out : rows.kept).push_back(static_cast<std::size_t>(walk.at(static_cast<index_t>(i))));
  std::sort(rows.out.begin(), rows.out.end());
  std::sort(rows.kept.begin(), rows.kept.end());
  return rows;
}

}  // namespace veneer
