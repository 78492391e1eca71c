// SPDX-License-Identifier: Apache-2.0
/// \file tests.hpp
/// The tests of `is`, as in jinja2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "veneer/text/jinja/arithmetic.hpp"
#include "veneer/text/jinja/letters.hpp"
#include "veneer/text/jinja/parameters.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

bool is_filter(const std::string& name);
bool is_test(const std::string& name);

/// Returns `a sign b` for == != < <= > >= in, and not in.
inline bool compared(Runtime& runtime, const std::string& sign, const Value& a, const Value& b) {
  if (sign == "==") return equal(runtime, a, b);
  if (sign == "!=") return !equal(runtime, a, b);
  if (sign == "in") return contains(runtime, b, a);
  if (sign == "not in") return !contains(runtime, b, a);
  const int order = compare(runtime, a, b, sign);
  if (order == 2) return false;
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  return sign == ">" ? order > 0 : order >= 0;
}

/// Returns `value is other`: the same object, or equal numbers or texts of the same type.
inline bool is_same(Runtime& runtime, const Value& value, const Value& other) {
  if (value.kind() != other.kind()) return false;
  if (value.is_text() || value.is_number() || value.is(Kind::none)) return equal(runtime, value, other);
  if (value.is(Kind::tuple) && value.as<List>().items.empty() && other.as<List>().items.empty()) return true;
  return value.identity() == other.identity();
}

inline bool is_sequence_test(const Value& value) {
  return value.is_text() || value.is_sequence() || value.is(Kind::dict) || value.is(Kind::range) ||
         value.is_undefined();
}

using Test = bool (*)(Runtime&, const Value&);
using Test2 = bool (*)(Runtime&, const Value&, const Value&);

inline bool leaves(Runtime& runtime, const Value& value, const Value& divisor, std::int64_t rest) {
  return equal(runtime, binary(runtime, "%", value, divisor), rest);
}

/// Returns the tests without an argument.
inline const std::unordered_map<std::string_view, Test>& plain_tests() {
  using R = Runtime&;
  using V = const Value&;
  static const std::unordered_map<std::string_view, Test> tests = {
      {"defined", [](R, V v) { return !v.is_undefined(); }},
      {"undefined", [](R, V v) { return v.is_undefined(); }},
      {"none", [](R, V v) { return v.is(Kind::none); }},
      {"boolean", [](R, V v) { return v.is(Kind::boolean); }},
      {"true", [](R, V v) { return v.is(Kind::boolean) && v.integer() == 1; }},
      {"false", [](R, V v) { return v.is(Kind::boolean) && v.integer() == 0; }},
      {"integer", [](R, V v) { return v.is(Kind::integer); }},
      {"float", [](R, V v) { return v.is(Kind::real); }},
      {"number", [](R, V v) { return v.is_number(); }},
      {"string", [](R, V v) { return v.is_text(); }},
      {"mapping", [](R, V v) { return v.is(Kind::dict); }},
      {"sequence", [](R, V v) { return is_sequence_test(v); }},
      {"iterable", [](R, V v) { return is_iterable(v); }},
      {"callable", [](R, V v) { return v.is(Kind::function) || v.is(Kind::loop) || v.is_undefined(); }},
      {"escaped", [](R, V v) { return v.is_text() && v.text().markup; }},
      {"lower", [](R runtime, V v) { return is_all_case(to_text(runtime, v).bytes, false); }},
      {"upper", [](R runtime, V v) { return is_all_case(to_text(runtime, v).bytes, true); }},
      {"odd", [](R runtime, V v) { return leaves(runtime, v, std::int64_t{2}, 1); }},
      {"even", [](R runtime, V v) { return leaves(runtime, v, std::int64_t{2}, 0); }},
      {"filter", [](R runtime,
                    V v) { return v.is_text() ? is_filter(v.text().bytes) : (find_entry(runtime, Dict{}, v), false); }},
      {"test",
       [](R runtime, V v) { return v.is_text() ? is_test(v.text().bytes) : (find_entry(runtime, Dict{}, v), false); }},
  };
  return tests;
}

/// Returns the operator of a test of two values, or an empty text.
inline std::string test_operator(const std::string& name) {
  if (name == "==" || name == "eq" || name == "equalto") return "==";
  if (name == "!=" || name == "ne") return "!=";
  if (name == ">" || name == "gt" || name == "greaterthan") return ">";
  if (name == "<" || name == "lt" || name == "lessthan") return "<";
  if (name == ">=" || name == "ge") return ">=";
  if (name == "<=" || name == "le") return "<=";
  return name == "in" ? "in" : "";
}

inline bool is_test(const std::string& name) {
  return plain_tests().contains(name) || !test_operator(name).empty() || name == "divisibleby" || name == "sameas";
}

/// Calls a test by name.
inline Value call_test(Runtime& runtime, const std::string& name, const Value& value, const Arguments& arguments) {
  if (const auto found = plain_tests().find(name); found != plain_tests().end()) {
    const Parameters given(runtime, "the test '" + name + "'", arguments, {});
    return found->second(runtime, value);
  }
  const std::string sign = test_operator(name);
  if (sign.empty() && name != "divisibleby" && name != "sameas")
    runtime.fail("unknown test '" + printable(name, 40) + "'");
  const char* parameter = name == "divisibleby" ? "num" : name == "in" ? "seq" : "other";
  const Parameters given(runtime, "the test '" + name + "'", arguments, {parameter}, 1);
  if (name == "divisibleby") return leaves(runtime, value, given[0], 0);
  if (name == "sameas") return is_same(runtime, value, given[0]);
  return compared(runtime, sign, value, given[0]);
}

}  // namespace veneer::jinja
