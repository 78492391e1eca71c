// SPDX-License-Identifier: Apache-2.0
#include "veneer/train/order.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "veneer/train/batch.hpp"

#include "support/catch.hpp"

namespace order_test {

using namespace veneer;

TEST_CASE("Each epoch visits every line once, in a new order") {
  DataOrder order(10, 5, true, 7);
  std::vector<std::vector<index_t>> epochs;
  for (index_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<index_t> lines;
    for (index_t half = 0; half < 2; ++half) {
      for (const Pick& pick : order.batch(2 * epoch + half)) {
        CHECK_FALSE(pick.replayed);
        lines.push_back(pick.line);
      }
    }
    CHECK(std::set<index_t>(lines.begin(), lines.end()).size() == 10);
    epochs.push_back(lines);
  }
  CHECK(epochs[0] != epochs[1]);
  CHECK(epochs[1] != epochs[2]);
}

TEST_CASE("The order is a function of seed and step: any step can be asked for first") {
  DataOrder whole(23, 4, true, 5, 7, 0.25);
  std::vector<std::vector<std::pair<bool, index_t>>> seen;
  const auto plain = [](const std::vector<Pick>& picks) {
    std::vector<std::pair<bool, index_t>> out;
    for (const Pick& pick : picks) out.emplace_back(pick.replayed, pick.line);
    return out;
  };
  for (index_t step = 0; step < 40; ++step) seen.push_back(plain(whole.batch(step)));
  for (const index_t start : {39, 3, 17}) {
    DataOrder later(23, 4, true, 5, 7, 0.25);
    for (index_t step = start; step < 40; ++step)
      CHECK(plain(later.batch(step)) == seen[static_cast<std::size_t>(step)]);
  }
  for (const auto& batch : seen) {
    CHECK(batch.size() == 4);
    CHECK(std::count_if(batch.begin(), batch.end(), [](const auto& pick) { return pick.first; }) == 1);
  }
}

TEST_CASE("A run of N epochs has every line N times, and its last batch is short") {
  for (const auto [batch, epochs, batches] : {std::array<index_t, 3>{32, 1, 1}, {8, 3, 4}, {5, 2, 4}, {3, 1, 4}}) {
    DataOrder order(10, batch, true, 7, 0, 0.0, 10 * epochs), again = order;
    std::vector<index_t> times(10, 0);
    for (index_t number = 0; number < batches; ++number) {
      const std::vector<Pick> picks = order.batch(number);
      CHECK(static_cast<index_t>(picks.size()) == std::min(batch, 10 * epochs - number * batch));
      for (const Pick& pick : picks) ++times[static_cast<std::size_t>(pick.line)];
    }
    CHECK(times == std::vector<index_t>(10, epochs));
    CHECK(order.batch(batches).empty());
    CHECK(again.batch(batches - 1).size() == order.batch(batches - 1).size());  // a run that goes on there
  }
  DataOrder replaying(10, 8, false, 7, 4, 0.25, 10);  // six new lines and two replayed ones, then four and one
  CHECK(replaying.batch(0).size() == 8);
  CHECK(replaying.batch(1).size() == 5);
  CHECK(replaying.batch(1).back().replayed);
}

TEST_CASE("Without shuffling, line order is batch order") {
  DataOrder order(5, 2, false, 1);
  CHECK(order.batch(0)[1].line == 1);
  CHECK(order.batch(2)[0].line == 4);
  CHECK(order.batch(2)[1].line == 0);
}

TEST_CASE("A batch of an order holds the lines that the order picks, replayed ones from the second data set") {
  struct Example {
    std::vector<std::int32_t> ids, labels;
  };
  std::vector<Example> fresh, replayed;
  for (std::int32_t i = 0; i < 9; ++i) fresh.push_back({{i, i}, {i, i}});
  for (std::int32_t i = 100; i < 103; ++i) replayed.push_back({{i}, {i}});
  DataOrder order(9, 4, true, 5, 3, 0.25), again(9, 4, true, 5, 3, 0.25);
  for (index_t number = 0; number < 12; ++number) {
    std::vector<std::int32_t> expected;
    for (const Pick& pick : again.batch(number)) {
      if (!pick.replayed) expected.push_back(static_cast<std::int32_t>(pick.line));
      expected.push_back(static_cast<std::int32_t>(pick.line + (pick.replayed ? 100 : 0)));
    }
    CHECK(batch_of(order, number, fresh, replayed).ids == expected);
  }
  DataOrder alone(9, 4, false, 5);
  CHECK(batch_of(alone, 1, fresh).ids == std::vector<std::int32_t>{4, 4, 5, 5, 6, 6, 7, 7});
}

TEST_CASE("Rows are held out once, in their order, and the same for the same seed") {
  const HeldOut rows = hold_out(100, 0.25, 3);
  CHECK(rows.out.size() == 25);
  CHECK(std::is_sorted(rows.out.begin(), rows.out.end()));
  CHECK(std::is_sorted(rows.kept.begin(), rows.kept.end()));
  std::vector<std::size_t> all = rows.out;
  all.insert(all.end(), rows.kept.begin(), rows.kept.end());
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < 100; ++i) REQUIRE(all.at(i) == i);
  CHECK(hold_out(100, 0.25, 3).out == rows.out);
  CHECK(hold_out(100, 0.25, 4).out != rows.out);
  CHECK(hold_out(3, 0.1, 0).out.size() == 1);  // a positive fraction is at least one row
  CHECK(hold_out(1, 0.1, 0).out.empty());
  CHECK(hold_out(3, 0.0, 0).out.empty());
  CHECK_THROWS_AS(hold_out(3, 1.0, 0), ArgumentError);
}

TEST_CASE("Impossible orders are refused") {
  CHECK_THROWS_AS(DataOrder(0, 1, true, 0), ArgumentError);
  CHECK_THROWS_AS(DataOrder(1, 0, true, 0), ArgumentError);
  CHECK_THROWS_AS(DataOrder(1, 1, true, 0, 5, 1.0), ArgumentError);
  CHECK_THROWS_AS(DataOrder(1, 1, true, 0, 5, 0.5), ArgumentError);
}

TEST_CASE("A batch shifts labels inside each sequence") {
  struct Example {
    std::vector<std::int32_t> ids, labels;
  };
  Batch batch;
  batch.add(Example{{5, 6, 7}, {-100, 6, 7}});
  batch.add(Example{{8}, {8}});
  batch.add(Example{{9, 10}, {9, -100}});
  CHECK(batch.ids == std::vector<std::int32_t>{5, 6, 7, 8, 9, 10});
  CHECK(batch.targets == std::vector<std::int32_t>{6, 7, -100, -100, -100, -100});
  CHECK(batch.lengths == std::vector<index_t>{3, 1, 2});
  CHECK(batch.counted == 2);
  CHECK(batch.layout()->spans[2].query == 4);
}

}  // namespace order_test
