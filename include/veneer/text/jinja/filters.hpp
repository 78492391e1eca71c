// SPDX-License-Identifier: Apache-2.0
/// \file filters.hpp
/// The table of filters. The other filters of jinja2 (random, urlize, ...) are refused by name when they are called.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "veneer/text/jinja/list_filters.hpp"
#include "veneer/text/jinja/text_filters.hpp"

namespace veneer::jinja {

inline const std::unordered_map<std::string_view, Filter>& filters() {
  static const std::unordered_map<std::string_view, Filter> all = {{"abs", abs_filter},
                                                                   {"attr", attr_filter},
                                                                   {"batch", batch_filter},
                                                                   {"capitalize", text_filter<capitalize>},
                                                                   {"center", center_filter},
                                                                   {"count", length_filter},
                                                                   {"d", default_filter},
                                                                   {"default", default_filter},
                                                                   {"dictsort", dictsort_filter},
                                                                   {"e", text_filter<escaped>},
                                                                   {"escape", text_filter<escaped>},
                                                                   {"first", first_filter},
                                                                   {"float", float_filter},
                                                                   {"forceescape", text_filter<forced_escape>},
                                                                   {"format", format_filter},
                                                                   {"groupby", groupby_filter},
                                                                   {"indent", indent_filter},
                                                                   {"int", int_filter},
                                                                   {"items", items_filter},
                                                                   {"join", join_filter},
                                                                   {"last", last_filter},
                                                                   {"length", length_filter},
                                                                   {"list", list_filter},
                                                                   {"lower", text_filter<lower>},
                                                                   {"map", map_filter},
                                                                   {"max", extreme_filter<true>},
                                                                   {"min", extreme_filter<false>},
                                                                   {"reject", select_filter<false, false>},
                                                                   {"rejectattr", select_filter<false, true>},
                                                                   {"replace", replace_filter},
                                                                   {"reverse", reverse_filter},
                                                                   {"round", round_filter},
                                                                   {"safe", text_filter<safe_text>},
                                                                   {"select", select_filter<true, false>},
                                                                   {"selectattr", select_filter<true, true>},
                                                                   {"slice", slice_filter},
                                                                   {"sort", sort_filter},
                                                                   {"string", text_filter<same_text>},
                                                                   {"sum", sum_filter},
                                                                   {"title", text_filter<title_words>},
                                                                   {"tojson", tojson_filter},
                                                                   {"trim", trim_filter},
                                                                   {"truncate", truncate_filter},
                                                                   {"unique", unique_filter},
                                                                   {"upper", text_filter<upper>},
                                                                   {"urlencode", urlencode_filter},
                                                                   {"wordcount", wordcount_filter}};
  return all;
}

/// Returns whether a filter of jinja2 is known but not supported.
inline bool is_refused_filter(std::string_view name) {
  constexpr std::string_view refused[] = {"filesizeformat", "pprint",   "random", "striptags",
                                          "urlize",         "wordwrap", "xmlattr"};
  return std::find(std::begin(refused), std::end(refused), name) != std::end(refused);
}

inline bool is_filter(const std::string& name) { return filters().contains(name) || is_refused_filter(name); }

inline Value call_filter(Runtime& runtime, const std::string& name, const Value& value, const Arguments& arguments) {
  const auto found = filters().find(name);
  if (found != filters().end()) return found->second(runtime, value, arguments);
  if (is_refused_filter(name)) runtime.fail("the filter '" + name + "' is not supported");
  runtime.fail("unknown filter '" + printable(name, 40) + "'");
}

}  // namespace veneer::jinja
