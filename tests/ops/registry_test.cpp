// SPDX-License-Identifier: Apache-2.0
#include "ops/registry.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/backends.hpp"

namespace registry_test {

using namespace veneer;

namespace {

/// The text without comments and without what stands in quotes: neither may be taken for code.
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

/// From the brace at `open` to its partner.
std::string braced(const std::string& code, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < code.size(); ++i) {
    if (code[i] == '{') ++depth;
    if (code[i] == '}' && --depth == 0) return code.substr(open, i + 1 - open);
  }
  return code.substr(open);
}

/// The structs in namespace ops whose body calls something `member`, of all headers of ops/.
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
  const std::set<std::string> helpers{"UnaryPullbackBody", "BinaryPullbackBody"};  // call a partial, have none
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
      const testing::Outcome outcome = entry.check(seed);
      CHECK(outcome.error <= 1e-6);
      CHECK(outcome.independent);
    }
  }
}

}  // namespace registry_test
