// SPDX-License-Identifier: Apache-2.0
#include "ops/registry.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "support/backends.hpp"

namespace registry_test {

using namespace veneer;

namespace {

/// Half a unit in the last place of 1: the largest relative change by one rounding.
template <Stored T>
constexpr double unit_roundoff = std::is_same_v<T, bfloat16>       ? 0x1p-8
                                 : std::is_same_v<T, veneer::half> ? 0x1p-11
                                                                   : 0x1p-24;

/// Of float against double: sums over up to 131 values, in exponentials that are exact to 2 units.
constexpr double float_roundings = 64.0;

/// Returns the text without comments and quoted texts, which are not code.
std::string code_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  const std::regex quoted("\"(\\\\.|[^\"\\\\])*\"");
  std::string line, code;
  while (std::getline(in, line)) {
    if (line.find('"') != std::string::npos) line = std::regex_replace(line, quoted, "\"\"");
    code += line.substr(0, line.find("//")) + '\n';
  }
  return code;
}

/// Returns the text from the brace at `open` to the matching one.
std::string braced(const std::string& code, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < code.size(); ++i) {
    if (code[i] == '{') ++depth;
    if (code[i] == '}' && --depth == 0) return code.substr(open, i + 1 - open);
  }
  return code.substr(open);
}

/// Returns the structs in namespace ops with a function `member`, of all headers of ops/.
std::set<std::string> structs_with(const std::string& member) {
  const std::regex has("\\b" + member + "\\s*\\(");
  std::set<std::string> found;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(VENEER_SOURCE_DIR) + "/include/veneer/ops")) {
    const std::string code = code_of(entry.path());
    for (std::size_t at = code.find("namespace ops {"); at != std::string::npos;
         at = code.find("namespace ops {", at + 1)) {
      const std::string body = braced(code, code.find('{', at));
      const std::regex begin("\\bstruct\\s+(\\w+)\\s*\\{");
      for (std::sregex_iterator match(body.begin(), body.end(), begin), end; match != end; ++match) {
        const auto open = static_cast<std::size_t>(match->position() + match->length() - 1);
        if (std::regex_search(braced(body, open), has)) found.insert((*match)[1]);
      }
    }
  }
  return found;
}

/// "Unary<Silu>" names two structs.
std::set<std::string> registered() {
  std::set<std::string> names;
  const std::regex word("\\w+");
  for (const auto& entry : testing::Registry<Cpu>::all()) {
    for (std::sregex_iterator match(entry.op.begin(), entry.op.end(), word), end; match != end; ++match)
      names.insert(match->str());
  }
  return names;
}

/// The largest difference of two results in half units in the last place, T's unit roundoff, of the largest value.
template <Stored T>
double in_roundings(const std::vector<double>& found, const std::vector<double>& expected) {
  double largest = 0.0, difference = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(found[i] - expected[i]));
    if (std::isnan(found[i])) return std::numeric_limits<double>::infinity();
  }
  return difference == 0.0 ? 0.0 : difference / (largest * unit_roundoff<T>);
}

/// Returns the index of a value among the sorted values of its type: adjacent ones differ by 1.
template <Stored T>
std::int64_t place_of(T value) {
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint32_t>;
  constexpr Bits sign = static_cast<Bits>(Bits{1} << (8 * sizeof(T) - 1));
  Bits bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const auto magnitude = static_cast<std::int64_t>(bits & static_cast<Bits>(~sign));
  return (bits & sign) != 0 ? -magnitude : magnitude;
}

/// Whether each value is the expected one, rounded to T, or a neighbour of that: the compiler may fuse a product
/// and a sum in one of the two types and not in the other. After cancellation, float's rounding errors of the
/// larger terms remain.
template <Stored T>
bool is_rounded(const std::vector<double>& found, const std::vector<double>& expected) {
  double largest = 0.0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < found.size(); ++i) {
    const T value(static_cast<float>(found[i])), rounded(static_cast<float>(expected[i]));
    const bool neighbours = std::abs(place_of(value) - place_of(rounded)) <= 1;
    if (std::isnan(found[i]) || (!neighbours && std::abs(found[i] - expected[i]) > 1e-6 * largest)) return false;
  }
  return true;
}

/// Every op in storage T against the same in the type Wide, on the same values.
template <class B, Stored T, Real Wide>
void check_storage() {
  const auto narrow = testing::Registry<B, T>::all();
  const auto wide = testing::Registry<B, Wide>::all();
  REQUIRE(narrow.size() <= wide.size());
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    for (const std::uint64_t seed : {1u, 2u}) {
      CAPTURE(narrow[i].op, narrow[i].shape, seed);
      REQUIRE(narrow[i].op == wide[i].op);
      const auto found = narrow[i].check({seed}).values;
      const auto expected = wide[i].check({seed, scalar_name<T>(), false}).values;
      REQUIRE(found.size() == expected.size());
      for (std::size_t part = 0; part < found.size(); ++part) {  // the result, then each gradient
        CAPTURE(part, found[part], expected[part]);
        REQUIRE(found[part].size() == expected[part].size());
        const double stated = part == 0 ? narrow[i].result_roundings : narrow[i].gradient_roundings;
        const double bound = std::is_same_v<T, float> ? float_roundings : stated;
        if (bound == 0.0) CHECK(is_rounded<T>(found[part], expected[part]));
        if (bound != 0.0) CHECK(in_roundings<T>(found[part], expected[part]) <= bound);
      }
    }
  }
}

}  // namespace

TEST_CASE("every op of the library is in the registry") {
  std::set<std::string> ops = structs_with("pullbacks?");
  ops.merge(structs_with("partial"));
  // Unary and Binary hand their function's partial on; both kinds of struct must have been found.
  for (const char* known :
       {"Attention", "Linear", "LowRankLinear", "Softmax", "Silu", "SwiGlu", "Unary", "CrossEntropy"}) {
    CAPTURE(known);
    CHECK(ops.count(known) == 1);
  }
  const std::set<std::string> names = registered();
  const std::set<std::string> helpers{"UnarySlope", "BinaryPullbackBody"};  // call a partial, have none
  for (const std::string& op : ops) {
    INFO("ops::" << op << " has no gradient check: enter it in tests/ops/registry.hpp");
    CHECK((names.count(op) == 1 || helpers.count(op) == 1));
  }
  for (const std::string& name : names) {
    INFO(name << " is in the registry, and no struct of that name has a pullback");
    CHECK(ops.count(name) == 1);
  }
}

TEST_CASE("every op is checked on three shapes and more, a single element among them") {
  std::map<std::string, int> shapes;
  for (const auto& entry : testing::Registry<Cpu>::all()) ++shapes[entry.op];
  for (const auto& [op, count] : shapes) {
    CAPTURE(op);
    CHECK(count >= 3);
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of every op are those of central differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const auto& entry : testing::Registry<TestType>::all()) {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      CAPTURE(entry.op, entry.shape, seed);
      const testing::Outcome outcome = entry.check({seed});
      CHECK(outcome.error <= 1e-6);
      CHECK(outcome.independent);
    }
  }
}

/// With nvcc only the device: Cpu is checked by the host compiler.
using LastBackend = std::tuple<std::tuple_element_t<std::tuple_size_v<testing::Backends> - 1, testing::Backends>>;

TEMPLATE_LIST_TEST_CASE("every op in bfloat16 is the op in float, rounded once", "", LastBackend) {
  if (testing::usable<TestType>()) check_storage<TestType, bfloat16, float>();
}

TEMPLATE_LIST_TEST_CASE("every op in half is the op in float, rounded once", "", LastBackend) {
  if (testing::usable<TestType>()) check_storage<TestType, veneer::half, float>();
}

TEMPLATE_LIST_TEST_CASE("every op in float is the op in double, but for float's rounding", "", LastBackend) {
  if (testing::usable<TestType>()) check_storage<TestType, float, double>();
}

}  // namespace registry_test
