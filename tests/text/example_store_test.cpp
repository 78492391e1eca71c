// SPDX-License-Identifier: Apache-2.0
#include "veneer/text/example_store.hpp"

#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "veneer/text/examples.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace example_store_test {

namespace {

using namespace veneer;

Example numbered(std::size_t i) {
  Example example;
  for (std::size_t t = 0; t < i * 7 % 23; ++t) {
    example.ids.push_back(static_cast<std::int32_t>(i * 100 + t));
    example.labels.push_back(t % 3 == 0 ? ignored_label : example.ids.back());
  }
  return example;
}

/// Whether freed memory is returned to the system: AddressSanitizer keeps it for a while.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool frees = false;
#elif defined(__has_feature)
constexpr bool frees = !__has_feature(address_sanitizer);
#else
constexpr bool frees = true;
#endif

/// Returns the current anonymous memory of the process, in bytes.
std::int64_t anonymous_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("RssAnon:")) return std::atoll(line.c_str() + 8) * 1024;
  }
  return 0;
}

}  // namespace

TEST_CASE("a store gives what was put in, from the disk or not", "[text]") {
  const testing::TemporaryFolder folder;
  for (const std::size_t buffer : {std::size_t{1}, std::size_t{50}, std::size_t{1} << 20}) {
    ExampleStore store(folder.path(), buffer);
    std::uint64_t tokens = 0;
    for (std::size_t i = 0; i < 200; ++i) {
      store.add(numbered(i));
      tokens += numbered(i).ids.size();
      REQUIRE(store[i / 2] == numbered(i / 2));  // also while more is added
    }
    CHECK(store.size() == 200);
    CHECK(store.tokens() == tokens);
    CHECK((store.bytes_written() > 0) == (buffer < 2 * tokens));
    for (std::size_t i = 0; i < 200; ++i) {
      const Example whole = numbered(i);
      REQUIRE(store.length(i) == whole.ids.size());
      REQUIRE(store[i] == whole);
      if (whole.ids.size() < 3) continue;
      const Example part = store.part(i, 1, 2);
      REQUIRE(part.ids == std::vector<std::int32_t>(whole.ids.begin() + 1, whole.ids.begin() + 3));
      REQUIRE(part.labels == std::vector<std::int32_t>(whole.labels.begin() + 1, whole.labels.begin() + 3));
    }
    CHECK(std::filesystem::is_empty(folder.path()));  // its file has no name
    CHECK_THROWS_AS(store[200], ArgumentError);
    CHECK_THROWS_AS(store.part(1, 1, store.length(1)), ArgumentError);
  }
}

TEST_CASE("a store that can't write says where, and what to do", "[text]") {
  ExampleStore nowhere("/nowhere/at/all", 1);
  CHECK_THROWS_WITH(nowhere.add(numbered(1)), Catch::Contains("/nowhere/at/all: no temporary file can be made here"));
  const testing::TemporaryFolder folder;
  ExampleStore store(folder.path(), 1000);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{8192, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    for (std::size_t i = 0; i < 1000; ++i) store.add(numbered(i));
  } catch (const DiskError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, Catch::Contains(folder.path().string()) && Catch::Contains("TMPDIR"));
}

TEST_CASE("data is stored in far less memory than it has", "[text]") {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "ids.jsonl";
  {
    std::ofstream out(path, std::ios::binary);
    std::string line = "{\"input_ids\": [1";
    for (int i = 0; i < 1000; ++i) line += ", " + std::to_string(i % 900);
    line += "]}\n";
    for (int i = 0; i < 5000; ++i) out << line;
  }
  const auto bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
  REQUIRE(bytes > 20'000'000);
  const std::int64_t before = anonymous_bytes();
  ExampleStore store(folder.path());
  std::int64_t most = 0;
  const DatasetReport report = for_each_example(path, nullptr, {}, [&](const Example& example) {
    store.add(example);
    if (store.size() % 100 == 0) most = std::max(most, anonymous_bytes());
  });
  CHECK(report.examples == 5000);
  CHECK(store.tokens() == 5'005'000);
  for (std::size_t i = 0; i < store.size(); i += 100) {
    REQUIRE(store[i].ids[1000] == 999 % 900);
    most = std::max(most, anonymous_bytes());
  }
  REQUIRE(before > 0);
  if (frees) CHECK(most - before < 16'000'000);  // 40 MB of ids and labels; the buffer has 4, and grows to twice that
}

}  // namespace example_store_test
