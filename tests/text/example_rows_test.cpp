// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/example_rows.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "veneer/text/examples.hpp"

#include "support/catch.hpp"
#include "text/text_fixtures.hpp"

namespace example_rows_test {

namespace {

using namespace veneer;
using namespace veneer::test;
using Ids = std::vector<std::int32_t>;

std::shared_ptr<ExampleStore> small_store() { return std::make_shared<ExampleStore>(scratch_folder(), 40); }

/// Returns a packed row in the form of the golden file: padded to `length`.
Json to_json(const std::vector<Example>& row, std::size_t length, std::int32_t pad) {
  Ids ids, labels, segments, positions;
  for (std::size_t s = 0; s < row.size(); ++s) {
    for (std::size_t i = 0; i < row[s].ids.size(); ++i) {
      ids.push_back(row[s].ids[i]);
      labels.push_back(row[s].labels[i]);
      segments.push_back(static_cast<std::int32_t>(s + 1));
      positions.push_back(static_cast<std::int32_t>(i));
    }
  }
  REQUIRE(ids.size() <= length);
  ids.resize(length, pad);
  labels.resize(length, ignored_label);
  segments.resize(length);
  positions.resize(length);
  return {{"ids", ids}, {"labels", labels}, {"segments", segments}, {"positions", positions}};
}

}  // namespace

TEST_CASE("documents are packed as the reference packs them", "[text]") {
  const std::vector<Json> cases = read_rows(text_data() / "datasets" / "packing.jsonl");
  CHECK(cases.size() == 39);
  for (const Json& row : cases) {
    CAPTURE(row.at("name").get<std::string>());
    const auto length = row.at("sequence").get<std::size_t>();
    const auto eos = row.at("eos").get<std::int32_t>(), pad = row.at("pad").get<std::int32_t>();
    const auto store = small_store();
    const ExampleMaker maker(nullptr, {.max_length = length});
    DatasetReport report;
    Json padded = Json::array(), dropped = Json::array();
    for (std::size_t d = 0; d < row.at("documents").size(); ++d) {
      Example document{to_ids(row.at("documents")[d]), to_ids(row.at("labels")[d])};
      if (document.ids.empty()) {  // the reader drops it: see "ids and labels are read as they are"
        dropped.push_back({{"document", d}, {"reason", "empty"}});
        continue;
      }
      end_with(document, eos);
      store->add(document);
      const std::size_t cut = report.truncated, taken = report.examples;
      maker.take({document}, d, report, [&](Example example) {
        example.labels.front() = ignored_label;  // not used: no token comes before it
        Ids attention(example.ids.size(), 1);
        attention.resize(length);
        const Json as_packed = to_json({example}, length, pad);
        padded.push_back({{"document", d},
                          {"ids", as_packed.at("ids")},
                          {"labels", as_packed.at("labels")},
                          {"attention", attention},
                          {"truncated", report.truncated > cut}});
      });
      if (report.examples == taken) dropped.push_back({{"document", d}, {"reason", "no_trained_token"}});
    }
    CHECK(padded == row.at("padded"));
    CHECK(dropped == row.at("dropped"));
    const ExampleRows rows = ExampleRows::packed(store, length);
    Json packed = Json::array();
    for (std::size_t i = 0; i < rows.size(); ++i) packed.push_back(to_json(rows[i], length, pad));
    CHECK(packed == row.at("packed"));
  }
}

TEST_CASE("packed rows join to the chosen examples, and are full but for the last", "[text]") {
  const auto store = small_store();
  Ids all;
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < 40; ++i) {
    Ids ids(i * 5 % 17);
    std::iota(ids.begin(), ids.end(), static_cast<std::int32_t>(i * 100));
    store->add(ids, ids);
    if (i % 3 == 0) continue;
    chosen.push_back(i);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  for (std::size_t length = 1; length < 40; ++length) {
    const ExampleRows rows = ExampleRows::packed(store, length, chosen);
    REQUIRE(rows.size() == (all.size() + length - 1) / length);
    Ids joined;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::size_t tokens = 0;
      for (const Example& segment : rows[i]) {
        REQUIRE(!segment.ids.empty());
        REQUIRE(segment.labels.front() == ignored_label);
        REQUIRE(std::equal(segment.ids.begin() + 1, segment.ids.end(), segment.labels.begin() + 1));
        joined.insert(joined.end(), segment.ids.begin(), segment.ids.end());
        tokens += segment.ids.size();
      }
      REQUIRE(tokens == (i + 1 < rows.size() ? length : all.size() - length * i));
    }
    REQUIRE(joined == all);
    CHECK_THROWS_AS(rows[rows.size()], ArgumentError);
  }
}

TEST_CASE("rows of which nothing is learned can be left out", "[text]") {
  const auto store = small_store();
  store->add(Ids{1, 2, 3, 4, 5, 6}, Ids{-100, -100, -100, -100, -100, 6});
  store->add(Ids{7, 8, 9}, Ids{7, -100, -100});  // the first token of a segment is not a target
  const ExampleRows all = ExampleRows::packed(store, 3), some = all.learned();
  REQUIRE(all.size() == 3);
  REQUIRE(some.size() == 1);
  CHECK(some[0].front().ids == Ids{4, 5, 6});
  CHECK(all[0].front().ids == Ids{1, 2, 3});
  CHECK(ExampleRows::packed(store, 1).learned().empty());
}

TEST_CASE("rows that are not packed are the chosen examples, cut where they are too long", "[text]") {
  const auto store = small_store();
  for (std::int32_t i = 0; i < 5; ++i) store->add(Ids{i, i + 1, i + 2}, Ids{i, -100, i + 2});
  CHECK(ExampleRows().empty());
  const ExampleRows whole = ExampleRows::whole(store);
  REQUIRE(whole.size() == 5);
  CHECK(whole[3] == std::vector<Example>{{{3, 4, 5}, {3, -100, 5}}});
  const ExampleRows some = ExampleRows::whole(store, std::vector<std::size_t>{4, 1}, 2);
  REQUIRE(some.size() == 2);
  CHECK(some[0] == std::vector<Example>{{{4, 5}, {4, -100}}});
  CHECK(some[1] == std::vector<Example>{{{1, 2}, {1, -100}}});
  CHECK(ExampleRows::packed(store, 4, std::vector<std::size_t>{}).empty());
  CHECK_THROWS_AS(ExampleRows::packed(store, 0), ArgumentError);
}

}  // namespace example_rows_test
