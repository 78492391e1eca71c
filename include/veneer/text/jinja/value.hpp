// SPDX-License-Identifier: Apache-2.0
/// \file value.hpp
/// The values of a template: Python's None, bool, int (64 bits), float, str, list, tuple, dict, range, dict views and
/// generators, and jinja2's Undefined, namespace, loop and callables.
///
/// Values are shared and immutable, except namespaces and the position of generators. A text records which of its
/// bytes come from the input. The nesting of a value is limited when it is created, so that its destruction cannot
/// overflow the stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/text.hpp"

namespace veneer::jinja {

enum class Kind {
  missing,  // no value at all: an absent argument, or a name whose assignment has not been executed
  undefined,
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,
  space,  // namespace()
  range,
  view,      // dict.keys(), .values(), .items()
  iterator,  // a generator
  loop,
  function,
};

class Value;
struct Dict;
struct Loop;

/// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

class Value {
 public:
  Value() = default;
  Value(bool value) : kind_(Kind::boolean), integer_(value ? 1 : 0) {}
  Value(std::int64_t value) : kind_(Kind::integer), integer_(value) {}
  Value(double value) : kind_(Kind::real), real_(value) {}
  Value(const char*) = delete;
  template <class Object>
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}

  static Value none() {
    Value value;
    value.kind_ = Kind::none;
    return value;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::missing; }
  bool is_undefined() const { return kind_ == Kind::undefined || kind_ == Kind::missing; }
  bool is_text() const { return kind_ == Kind::text; }
  /// Returns whether the value is an int or a bool, which is an int in Python.
  bool is_integer() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const { return is_integer() || kind_ == Kind::real; }
  bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }

  std::int64_t integer() const { return integer_; }
  double real() const { return kind_ == Kind::real ? real_ : static_cast<double>(integer_); }
  const Text& text() const { return as<Text>(); }
  const void* identity() const { return object_.get(); }

  template <class Object>
  Object& as() const {
    return *static_cast<Object*>(object_.get());
  }
  template <class Object>
  std::shared_ptr<Object> share() const {
    return std::static_pointer_cast<Object>(object_);
  }

 private:
  Kind kind_ = Kind::missing;
  std::int64_t integer_ = 0;
  double real_ = 0;
  std::shared_ptr<void> object_;
};

/// The error message of jinja2's Undefined.
struct Missing {
  std::string message;
};

/// A list or a tuple. `grouped` marks the pairs of `groupby`, which have the attributes grouper and list.
struct List {
  std::vector<Value> items;
  std::size_t nesting = 1;
  bool grouped = false;
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::size_t nesting = 1;
};

/// A namespace: the only mutable value. The interpreter empties all namespaces after rendering, which ends cycles.
struct Space {
  Dict attributes;
};

struct Range {
  std::int64_t start = 0, stop = 0, step = 1;
  std::int64_t size() const {
    if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
    return start > stop ? (start - stop - 1) / -step + 1 : 0;
  }
};

struct View {
  std::string part;  // keys, values or items
  std::shared_ptr<Dict> dict;
};

/// A generator. Its items are computed when it is created; an exception is kept and thrown when its
/// position is reached.
struct Iterator {
  std::vector<Value> items;
  std::size_t at = 0;
  std::exception_ptr error;
  std::size_t nesting = 1;
};

struct Function {
  std::string name;
  std::function<Value(Runtime&, Arguments&)> call;
  std::size_t nesting = 1;
  Value self{};  // of a bound method
};

/// The state of a for loop, which is `loop` in templates.
struct Loop {
  std::function<bool(Value&)> pull;  // the next item, or false at the end
  std::vector<Value> ahead;          // items that were read ahead, in reverse order
  Value before, current, changed;
  std::int64_t index0 = -1;
  std::int64_t depth0 = 0;
  std::int64_t length = -1;  // -1 if unknown
  std::size_t nesting = 1;
  std::function<Value(Runtime&, const Value&)> recurse;

  bool next(Value& item) {
    if (ahead.empty()) return pull(item);
    item = std::move(ahead.back());
    ahead.pop_back();
    return true;
  }
  bool peek(Value& item) {
    if (ahead.empty()) {
      if (!pull(item)) return false;
      ahead.push_back(item);
    }
    item = ahead.back();
    return true;
  }
};

inline std::size_t nesting_of(const Value& value) {
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple: return value.as<List>().nesting;
    case Kind::dict: return value.as<Dict>().nesting;
    case Kind::view: return value.as<View>().dict->nesting + 1;
    case Kind::iterator: return value.as<Iterator>().nesting;
    case Kind::function: return value.as<Function>().nesting;
    case Kind::loop: return value.as<Loop>().nesting;
    default: return 0;
  }
}

/// Returns `inner` + 1, or throws at the limit.
inline std::size_t nested(Runtime& runtime, std::size_t inner) {
  if (inner >= Runtime::value_nesting) {
    runtime.fail("values are nested deeper than " + std::to_string(Runtime::value_nesting) + " levels");
  }
  return inner + 1;
}

inline std::size_t nested(Runtime& runtime, const std::vector<Value>& items) {
  std::size_t inner = 0;
  for (const Value& item : items) inner = std::max(inner, nesting_of(item));
  return nested(runtime, inner);
}

inline Value make_text(Runtime& runtime, Text text) {
  runtime.charge(text.bytes.size() + text.input.size() * sizeof(ByteRange) + sizeof(Text));
  return {Kind::text, std::make_shared<Text>(std::move(text))};
}

/// Returns a text that is not input.
inline Value make_text(Runtime& runtime, std::string_view constant) {
  return make_text(runtime, Text{std::string(constant), {}, false});
}

inline Value make_undefined(std::string message) {
  return {Kind::undefined, std::make_shared<Missing>(Missing{std::move(message)})};
}

inline Value make_list(Runtime& runtime, std::vector<Value> items, Kind kind = Kind::list) {
  runtime.charge(items.size() * sizeof(Value) + sizeof(List));
  auto list = std::make_shared<List>();
  list->nesting = nested(runtime, items);
  list->items = std::move(items);
  return {kind, std::move(list)};
}

inline Value make_tuple(Runtime& runtime, std::vector<Value> items) {
  return make_list(runtime, std::move(items), Kind::tuple);
}

inline Value make_dict(Runtime& runtime, std::vector<std::pair<Value, Value>> entries) {
  runtime.charge(entries.size() * 2 * sizeof(Value) + sizeof(Dict));
  auto dict = std::make_shared<Dict>();
  std::size_t inner = 0;
  for (const auto& [key, value] : entries) inner = std::max({inner, nesting_of(key), nesting_of(value)});
  dict->nesting = nested(runtime, inner);
  dict->entries = std::move(entries);
  return {Kind::dict, std::move(dict)};
}

/// Returns a generator with the items that `produce` appends.
inline Value make_iterator(Runtime& runtime, const std::function<void(std::vector<Value>&)>& produce) {
  auto iterator = std::make_shared<Iterator>();
  try {
    produce(iterator->items);
  } catch (const JinjaLimit&) {
    throw;
  } catch (const JinjaError&) {
    iterator->error = std::current_exception();
  }
  runtime.charge(iterator->items.size() * sizeof(Value) + sizeof(Iterator));
  iterator->nesting = nested(runtime, iterator->items);
  return {Kind::iterator, std::move(iterator)};
}

inline Value make_function(Runtime& runtime, std::string name, std::function<Value(Runtime&, Arguments&)> call,
                           Value self = {}) {
  runtime.charge(sizeof(Function));
  auto function = std::make_shared<Function>();
  function->name = std::move(name);
  function->call = std::move(call);
  function->nesting = nested(runtime, nesting_of(self));
  function->self = std::move(self);
  return {Kind::function, std::move(function)};
}

/// Returns the name of a value's type in Python.
inline std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::real: return "float";
    case Kind::text: return "str";
    case Kind::list: return "list";
    case Kind::tuple: return "tuple";
    case Kind::dict: return "dict";
    case Kind::space: return "Namespace";
    case Kind::range: return "range";
    case Kind::view: return "dict_" + value.as<View>().part;
    case Kind::iterator: return "generator";
    case Kind::loop: return "LoopContext";
    case Kind::function: return "function";
  }
  return "value";
}

/// Throws the error for a use of an undefined value.
[[noreturn]] inline void fail_undefined(Runtime& runtime, const Value& value) {
  runtime.fail(value.is_missing() ? "an undefined value is used" : value.as<Missing>().message);
}

}  // namespace veneer::jinja
