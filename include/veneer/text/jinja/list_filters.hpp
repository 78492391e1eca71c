// SPDX-License-Identifier: Apache-2.0
/// \file list_filters.hpp
/// The filters of jinja2 over lists, dicts and generators.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/jinja/access.hpp"
#include "veneer/text/jinja/arithmetic.hpp"
#include "veneer/text/jinja/parameters.hpp"
#include "veneer/text/jinja/tests.hpp"

namespace veneer::jinja {

using Filter = Value (*)(Runtime&, const Value&, const Arguments&);
Value call_filter(Runtime& runtime, const std::string& name, const Value& value, const Arguments& arguments);

/// The accessor for the argument `attribute` of a filter: `a.b.0` is item["a"]["b"][0]; if that
/// is undefined, `otherwise`.
class Getter {
 public:
  Getter(Runtime& runtime, const Value& attribute, Value otherwise = {})
      : runtime_(runtime), otherwise_(std::move(otherwise)) {
    if (attribute.is_missing() || attribute.is(Kind::none)) return;
    if (!attribute.is_text()) {
      parts_.push_back(attribute);
      return;
    }
    const Text& text = attribute.text();
    const Text dot{".", {}, false};
    for (const ByteRange& part : split(text, &dot, -1, false)) {
      const std::string name = text.bytes.substr(part.begin, part.end - part.begin);
      const bool digits = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
      const auto index = digits ? parse_integer(name, 10) : std::nullopt;
      parts_.push_back(index ? Value(*index) : make_text(runtime, name));
    }
  }

  Value operator()(const Value& item) const {
    Value value = item;
    for (const Value& part : parts_) {
      value = get_item(runtime_, value, part);
      if (value.is_undefined() && !otherwise_.is_missing() && !otherwise_.is(Kind::none)) value = otherwise_;
    }
    return value;
  }

 private:
  Runtime& runtime_;
  std::vector<Value> parts_;
  Value otherwise_;
};

/// Returns the key for comparisons: texts are in lower case unless `case_sensitive`.
inline Value sort_key(Runtime& runtime, const Value& value, bool case_sensitive) {
  return value.is_text() && !case_sensitive ? make_text(runtime, lower(value.text())) : value;
}

/// Sorts items by their keys; stable, also in reverse.
inline std::vector<Value> sorted(Runtime& runtime, std::vector<Value> items, const std::vector<Value>& keys,
                                 bool reverse) {
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto less = [&](std::size_t a, std::size_t b) {
    const int result = compare(runtime, keys[a], keys[b], "<");
    return result < 0;
  };
  if (items.size() == 1) return items;
  for (std::size_t i = 1; i < keys.size(); ++i) (void)less(i, i - 1);  // throws for keys that cannot be compared
  const auto has_nan = [](const Value& key) { return key.is(Kind::real) && std::isnan(key.real()); };
  if (std::any_of(keys.begin(), keys.end(), has_nan)) runtime.fail("a NaN cannot be sorted");
  if (reverse) std::reverse(order.begin(), order.end());
  std::stable_sort(order.begin(), order.end(), less);
  if (reverse) std::reverse(order.begin(), order.end());
  std::vector<Value> out;
  for (const std::size_t index : order) out.push_back(items[index]);
  return out;
}

inline Value length_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "length", arguments, {});
  const std::int64_t length = length_of(value);
  if (length < 0) runtime.fail("a value of type " + type_name(value) + " has no length");
  runtime.step(1 + (value.is_text() ? value.text().bytes.size() / 64 : 0));
  return length;
}

inline Value default_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "default", arguments, {"default_value", "boolean"});
  const bool use = value.is_undefined() || (given.flag(1) && !truth(value));
  return !use ? value : given.has(0) ? given[0] : make_text(runtime, "");
}

inline Value attr_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "attr", arguments, {"name"}, 1);
  const Text& name = given.text(0);
  Value found = name.bytes.empty() ? Value() : find_attribute(runtime, value, name.bytes);
  if (!found.is_missing() && name.bytes[0] == '_') found = {};
  return found.is_missing() ? make_undefined(missing_message(value, name.bytes)) : found;
}

inline Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "list", arguments, {});
  return make_list(runtime, items_of(runtime, value));
}

inline Value items_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "items", arguments, {});
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    if (value.is_undefined()) return;
    if (!value.is(Kind::dict)) runtime.fail("items expects a dict, found " + type_name(value));
    for (const auto& [key, item] : value.as<Dict>().entries) out.push_back(make_tuple(runtime, {key, item}));
  });
}

inline Value join_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "join", arguments, {"d", "attribute"});
  const Getter getter(runtime, given[1]);
  const Text separator = given.has(0) ? to_text(runtime, given[0]) : Text{};
  Text out;
  bool first = true;
  Value item;
  for (const auto next = iterate(runtime, value); next(item);) {
    if (!std::exchange(first, false)) out.add(separator);
    out.add(to_text(runtime, getter(item)));
    runtime.fits(out.bytes.size());
  }
  out.markup = false;
  return make_text(runtime, std::move(out));
}

inline Value first_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "first", arguments, {});
  Value item;
  return iterate(runtime, value)(item) ? item : make_undefined("the sequence has no first item");
}

/// Returns whether Python's `reversed` accepts the value.
inline bool is_reversible(const Value& value) {
  return value.is_text() || value.is_sequence() || value.is(Kind::dict) || value.is(Kind::view) ||
         value.is(Kind::range) || value.is_undefined();
}

inline Value last_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "last", arguments, {});
  if (!is_reversible(value)) runtime.fail("a value of type " + type_name(value) + " cannot be read from its end");
  const std::vector<Value> items = items_of(runtime, value);
  return items.empty() ? make_undefined("the sequence has no last item") : items.back();
}

inline Value reverse_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "reverse", arguments, {});
  std::vector<Value> items = items_of(runtime, value);
  std::reverse(items.begin(), items.end());
  if (!value.is_text()) {
    if (!is_reversible(value)) return make_list(runtime, std::move(items));
    return make_iterator(runtime, [&](std::vector<Value>& out) { out = std::move(items); });
  }
  Text out;
  for (const Value& item : items) out.add(item.text());
  out.markup = value.text().markup;
  return make_text(runtime, std::move(out));
}

inline Value sort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const std::vector<Value> items = items_of(runtime, value);
  std::vector<Getter> getters;
  if (given.has(2) && given[2].is_text()) {
    const Text comma{",", {}, false};
    for (const ByteRange& part : split(given.text(2), &comma, -1, false)) {
      getters.emplace_back(runtime, make_text(runtime, given.text(2).part(part.begin, part.end)));
    }
  } else {
    getters.emplace_back(runtime, given[2]);
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const Getter& getter : getters) parts.push_back(sort_key(runtime, getter(item), given.flag(1)));
    keys.push_back(make_list(runtime, std::move(parts)));
  }
  return make_list(runtime, sorted(runtime, items, keys, given.flag(0)));
}

inline Value dictsort_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = given.has(1) ? (given[1].is_text() ? given.text(1).bytes : "") : "key";
  if (by != "key" && by != "value") runtime.fail("dictsort sorts by key or value");
  if (!value.is(Kind::dict)) runtime.fail("dictsort expects a dict, found " + type_name(value));
  std::vector<Value> items, keys;
  for (const auto& [key, item] : value.as<Dict>().entries) {
    items.push_back(make_tuple(runtime, {key, item}));
    keys.push_back(sort_key(runtime, by == "key" ? key : item, given.flag(0)));
  }
  return make_list(runtime, sorted(runtime, std::move(items), keys, given.flag(2)));
}

inline void needs_key(Runtime& runtime, const Value& value) { (void)find_entry(runtime, Dict{}, value); }

inline Value unique_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "unique", arguments, {"case_sensitive", "attribute"});
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    const Getter getter(runtime, given[1]);
    Dict seen;
    Value item;
    for (const auto next = iterate(runtime, value); next(item);) {
      const Value key = sort_key(runtime, getter(item), given.flag(0));
      runtime.step(1 + seen.entries.size() / 4);
      if (find_entry(runtime, seen, key) != nullptr) continue;
      seen.entries.emplace_back(key, true);
      out.push_back(item);
    }
  });
}

template <bool Max>
Value extreme_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, Max ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Getter getter(runtime, given[1]);
  Value best, best_key, item;
  for (const auto next = iterate(runtime, value); next(item);) {
    const Value key = sort_key(runtime, getter(item), given.flag(0));
    if (!best.is_missing()) {
      const int order = Max ? compare(runtime, key, best_key, ">") : compare(runtime, best_key, key, "<");
      if (Max ? order != 1 : order != 1) continue;
    }
    best = item;
    best_key = key;
  }
  return best.is_missing() ? make_undefined("the sequence has no item to choose") : best;
}

inline Value sum_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "sum", arguments, {"attribute", "start"});
  const Getter getter(runtime, given[0]);
  Value total = given.has(1) ? given[1] : Value(std::int64_t{0}), item;
  if (total.is_text()) runtime.fail("sum cannot add texts: use join");
  for (const auto next = iterate(runtime, value); next(item);) total = binary(runtime, "+", total, getter(item));
  return total;
}

inline Value batch_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "batch", arguments, {"linecount", "fill_with"}, 1);
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    std::vector<Value> row;
    Value item;
    const auto is_full = [&] { return given[0].is_number() && static_cast<double>(row.size()) == given[0].real(); };
    for (const auto next = iterate(runtime, value); next(item);) {
      if (is_full()) out.push_back(make_list(runtime, std::exchange(row, {})));
      row.push_back(item);
    }
    if (row.empty()) return;
    if (!given.is_none(1)) {
      const std::int64_t count = given.integer(0, 0);
      runtime.step(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
      while (static_cast<std::int64_t>(row.size()) < count) row.push_back(given[1]);
    }
    out.push_back(make_list(runtime, std::move(row)));
  });
}

inline Value slice_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "slice", arguments, {"slices", "fill_with"}, 1);
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    const std::vector<Value> items = items_of(runtime, value);
    const std::int64_t slices = given.integer(0, 0);
    if (slices == 0) runtime.fail("slice: a list cannot be cut into 0 parts");
    if (slices < 0) return;
    const auto count = static_cast<std::size_t>(slices);
    runtime.step(count);
    const std::size_t size = items.size() / count, longer = items.size() % count;
    auto at = items.begin();
    for (std::size_t i = 0; i < count; ++i) {
      const auto end = at + static_cast<std::ptrdiff_t>(size + (i < longer ? 1 : 0));
      std::vector<Value> part(at, end);
      if (!given.is_none(1) && i >= longer) part.push_back(given[1]);
      out.push_back(make_list(runtime, std::move(part)));
      at = end;
    }
  });
}

inline Value groupby_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Parameters given(runtime, "groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Getter getter(runtime, given[0], given[1]);
  const std::vector<Value> items = items_of(runtime, value);
  std::vector<Value> keys;
  for (const Value& item : items) keys.push_back(sort_key(runtime, getter(item), given.flag(2)));
  std::vector<Value> groups, group;
  Value group_key;
  const auto close = [&] {
    if (group.empty()) return;
    const Value grouper = given.flag(2) ? group_key : getter(group[0]);
    Value pair = make_tuple(runtime, {grouper, make_list(runtime, std::exchange(group, {}))});
    pair.as<List>().grouped = true;
    groups.push_back(std::move(pair));
  };
  for (const Value& item : sorted(runtime, items, keys, false)) {
    const Value key = sort_key(runtime, getter(item), given.flag(2));
    if (!group.empty() && !equal(runtime, group_key, key)) close();
    if (group.empty()) group_key = key;
    group.push_back(item);
  }
  close();
  return make_list(runtime, std::move(groups));
}

inline const std::string& name_argument(Runtime& runtime, const Value& value, const char* filter) {
  if (!value.is_text())
    runtime.fail(std::string(filter) + " expects the name of a filter or test, found " + type_name(value));
  return value.text().bytes;
}

inline Value map_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    if (!truth(value)) return;
    std::function<Value(const Value&)> change;
    Arguments rest = arguments;
    if (arguments.positional.empty() && !arguments.named.empty()) {
      const Parameters given(runtime, "map", arguments, {"attribute", "default"}, 1);
      change = [getter = Getter(runtime, given[0], given[1])](const Value& item) { return getter(item); };
    } else {
      if (arguments.positional.empty()) runtime.fail("map needs the name of a filter, or attribute=");
      const std::string& name = name_argument(runtime, arguments.positional[0], "map");
      rest.positional.erase(rest.positional.begin());
      change = [&](const Value& item) { return call_filter(runtime, name, item, rest); };
    }
    Value item;
    for (const auto next = iterate(runtime, value); next(item);) out.push_back(change(item));
  });
}

/// Implements select, reject, selectattr and rejectattr.
template <bool Keep, bool Attribute>
Value select_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return make_iterator(runtime, [&](std::vector<Value>& out) {
    if (!truth(value)) return;
    Arguments rest = arguments;
    Value attribute;
    if (Attribute) {
      if (rest.positional.empty()) runtime.fail("selectattr and rejectattr need the name of an attribute");
      attribute = rest.positional[0];
      rest.positional.erase(rest.positional.begin());
    }
    const Getter getter(runtime, attribute);
    std::optional<std::string> test;
    if (!rest.positional.empty()) {
      test = name_argument(runtime, rest.positional[0], "select");
      rest.positional.erase(rest.positional.begin());
    }
    Value item;
    for (const auto next = iterate(runtime, value); next(item);) {
      const Value part = getter(item);
      if (truth(test ? call_test(runtime, *test, part, rest) : Value(truth(part))) == Keep) out.push_back(item);
    }
  });
}

}  // namespace veneer::jinja
