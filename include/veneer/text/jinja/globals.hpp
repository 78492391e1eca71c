// SPDX-License-Identifier: Apache-2.0
/// \file globals.hpp
/// The functions of templates: range, namespace, dict, raise_exception, strftime_now. The other functions of jinja2 are
/// refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/jinja/operations.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

/// All namespaces of a rendering.
using Spaces = std::vector<std::shared_ptr<Space>>;

/// Calls a value.
inline Value call_value(Runtime& runtime, const Value& callee, Arguments& arguments) {
  const Runtime::Level level(runtime);
  if (callee.is_undefined()) fail_undefined(runtime, callee);
  if (callee.is(Kind::function)) return callee.as<Function>().call(runtime, arguments);
  if (!callee.is(Kind::loop)) runtime.fail("a value of type " + type_name(callee) + " cannot be called");
  if (!callee.as<Loop>().recurse) runtime.fail("only a loop that is marked 'recursive' can be called");
  if (arguments.positional.size() != 1 || !arguments.named.empty()) runtime.fail("loop(items) takes one value");
  return callee.as<Loop>().recurse(runtime, arguments.positional[0]);
}

inline Value make_range(Runtime& runtime, Arguments& arguments) {
  constexpr std::int64_t limit = 100'000;  // jinja2.sandbox.MAX_RANGE
  const auto& given = arguments.positional;
  if (given.empty() || given.size() > 3 || !arguments.named.empty()) runtime.fail("range takes one to three integers");
  for (const Value& value : given) {
    if (!value.is_integer()) runtime.fail("range takes integers, not " + type_name(value));
    if (value.integer() > (std::int64_t{1} << 60) || value.integer() < -(std::int64_t{1} << 60)) {
      runtime.fail("a number of range is too large");
    }
  }
  Range range;
  range.start = given.size() > 1 ? given[0].integer() : 0;
  range.stop = given[given.size() > 1 ? 1 : 0].integer();
  range.step = given.size() > 2 ? given[2].integer() : 1;
  if (range.step == 0) runtime.fail("the step of range is 0");
  if (range.size() > limit) runtime.fail("range has more than " + std::to_string(limit) + " items");
  return {Kind::range, std::make_shared<Range>(range)};
}

/// Returns the entries of `dict(mapping or pairs, name=value, ...)`.
inline Dict dict_of(Runtime& runtime, Arguments& arguments, const std::string& name) {
  Dict dict;
  if (arguments.positional.size() > 1) runtime.fail(name + " takes at most one value without a name");
  if (!arguments.positional.empty()) {
    const Value& from = arguments.positional[0];
    if (from.is(Kind::dict)) {
      dict.entries = from.as<Dict>().entries;
    } else {
      for (const Value& pair : items_of(runtime, from)) {
        std::vector<Value> parts = items_of(runtime, pair);
        if (parts.size() != 2) runtime.fail(name + " takes a dict or pairs of key and value");
        put_entry(runtime, dict, std::move(parts[0]), std::move(parts[1]));
      }
    }
  }
  for (auto& [key, value] : arguments.named) put_entry(runtime, dict, make_text(runtime, key), std::move(value));
  return dict;
}

inline Value make_space(Runtime& runtime, Arguments& arguments, Spaces& spaces) {
  auto space = std::make_shared<Space>();
  space->attributes = dict_of(runtime, arguments, "namespace");
  for (const auto& entry : space->attributes.entries) {
    if (entry.first.is_text() && entry.first.text().bytes.starts_with("_")) {
      runtime.fail("attributes of a namespace cannot begin with '_'");
    }
  }
  runtime.charge(sizeof(Space) + space->attributes.entries.size() * 2 * sizeof(Value));
  spaces.push_back(space);
  return {Kind::space, std::move(space)};
}

inline Value strftime_now(Runtime& runtime, Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.positional[0].is_text() || !arguments.named.empty()) {
    runtime.fail("strftime_now takes one text");
  }
  std::tm now{};
  if (runtime.options().now) {
    now = *runtime.options().now;
  } else {
    const std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &now);
  }
  const std::string& format = arguments.positional[0].text().bytes;
  if (format.size() > 1000) runtime.fail("the format of strftime_now is longer than 1000 bytes");
  std::string out(64 * (format.size() + 1), '\0');
  out.resize(std::strftime(out.data(), out.size(), format.c_str(), &now));
  return make_text(runtime, out);
}

inline std::unordered_map<std::string, Value> make_globals(Runtime& runtime, Spaces& spaces) {
  std::unordered_map<std::string, Value> globals;
  const auto add = [&](const std::string& name, std::function<Value(Runtime&, Arguments&)> call) {
    globals.emplace(name, make_function(runtime, name, std::move(call)));
  };
  add("range", make_range);
  add("dict", [](Runtime& caller, Arguments& arguments) {
    return make_dict(caller, dict_of(caller, arguments, "dict").entries);
  });
  add("namespace", [&spaces](Runtime& caller, Arguments& arguments) { return make_space(caller, arguments, spaces); });
  add("raise_exception", [](Runtime& caller, Arguments& arguments) -> Value {
    if (arguments.positional.size() + arguments.named.size() != 1 ||
        (!arguments.named.empty() && arguments.named[0].first != "message")) {
      caller.fail("raise_exception takes one message");
    }
    caller.raise(to_text(caller, arguments.named.empty() ? arguments.positional[0] : arguments.named[0].second).bytes);
  });
  add("strftime_now", strftime_now);
  for (const char* name : {"lipsum", "cycler", "joiner"}) {
    add(name, [name](Runtime& caller, Arguments&) -> Value {
      caller.fail("the function '" + std::string(name) + "' is not supported");
    });
  }
  return globals;
}

}  // namespace veneer::jinja
