// SPDX-License-Identifier: Apache-2.0
/// \file parameters.hpp
/// The arguments of built-in filters, tests and methods, matched with parameter names as in a Python call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/text/jinja/operations.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

class Parameters {
 public:
  /// \param names  the parameters in order, of which the first `required` must be given
  Parameters(Runtime& runtime, std::string what, const Arguments& arguments,
             std::initializer_list<std::string_view> names, std::size_t required = 0)
      : runtime_(runtime), what_(std::move(what)), values_(names.size()) {
    if (arguments.positional.size() > names.size()) {
      runtime.fail(what_ + " takes at most " + std::to_string(names.size()) + " arguments");
    }
    for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = arguments.positional[i];
    for (const auto& [name, value] : arguments.named) {
      std::size_t at = 0;
      while (at < names.size() && *(names.begin() + at) != name) ++at;
      if (at == names.size()) runtime.fail(what_ + " has no argument '" + printable(name, 40) + "'");
      if (!values_[at].is_missing()) runtime.fail(what_ + ": the argument '" + name + "' is given twice");
      values_[at] = value;
    }
    for (std::size_t i = 0; i < required; ++i) {
      if (values_[i].is_missing())
        runtime.fail(what_ + ": the argument '" + std::string(*(names.begin() + i)) + "' is missing");
    }
  }

  bool has(std::size_t index) const { return !values_[index].is_missing(); }
  bool is_none(std::size_t index) const { return !has(index) || values_[index].is(Kind::none); }
  const Value& operator[](std::size_t index) const { return values_[index]; }

  bool flag(std::size_t index) const { return has(index) && truth(values_[index]); }

  std::int64_t integer(std::size_t index, std::int64_t otherwise) const {
    if (!has(index)) return otherwise;
    if (values_[index].is_undefined()) fail_undefined(runtime_, values_[index]);
    if (!values_[index].is_integer()) runtime_.fail(what_ + " expects an integer, found " + type_name(values_[index]));
    return values_[index].integer();
  }

  const Text& text(std::size_t index) const {
    if (values_[index].is_undefined()) fail_undefined(runtime_, values_[index]);
    if (!values_[index].is_text()) runtime_.fail(what_ + " expects a text, found " + type_name(values_[index]));
    return values_[index].text();
  }

 private:
  Runtime& runtime_;
  std::string what_;
  std::vector<Value> values_;
};

}  // namespace veneer::jinja
