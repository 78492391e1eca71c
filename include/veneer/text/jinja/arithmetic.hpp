// SPDX-License-Identifier: Apache-2.0
/// \file arithmetic.hpp
/// The operators + - * / // % ** and the signs, as in Python; integers beyond 64 bits are an error.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "veneer/text/jinja/escape.hpp"
#include "veneer/text/jinja/format.hpp"
#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

[[noreturn]] inline void fail_overflow(Runtime& runtime, const std::string& sign) {
  runtime.fail("the result of '" + sign + "' does not fit into 64 bits");
}

/// Returns the floor of a / b; b is not 0.
inline std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

inline Value integer_power(Runtime& runtime, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow(runtime, "**");
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow(runtime, "**");
  }
  return result;
}

inline Value integer_operation(Runtime& runtime, const std::string& sign, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (sign == "+"   ? __builtin_add_overflow(a, b, &result)
      : sign == "-" ? __builtin_sub_overflow(a, b, &result)
                    : sign == "*" && __builtin_mul_overflow(a, b, &result)) {
    fail_overflow(runtime, sign);
  }
  if (sign == "+" || sign == "-" || sign == "*") return result;
  if (sign == "**" && b >= 0) return integer_power(runtime, a, b);
  if (sign == "**" ? a == 0 : b == 0) runtime.fail("division by zero");
  if (sign == "**") return std::pow(static_cast<double>(a), static_cast<double>(b));
  if (b == -1) {
    if (sign == "%") return std::int64_t{0};
    if (sign == "//") return integer_operation(runtime, "-", 0, a);
  }
  if (sign == "//") return floor_divide(a, b);
  if (sign == "%") return a - floor_divide(a, b) * b;
  return static_cast<double>(a) / static_cast<double>(b);
}

inline Value real_operation(Runtime& runtime, const std::string& sign, double a, double b) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "**") {
    if (a == 0 && b < 0) runtime.fail("0.0 cannot be raised to a negative power");
    if (a < 0 && std::isfinite(b) && b != std::floor(b)) runtime.fail("complex numbers are not supported");
    const double result = std::pow(a, b);
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) runtime.fail("the result of '**' is too large");
    return result;
  }
  if (b == 0) runtime.fail("division by zero");
  if (sign == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 ? (rest < 0) != (b < 0) : false) rest += b;
  if (rest == 0) rest = std::copysign(0.0, b);
  if (sign == "%") return rest;
  const double quotient = (a - rest) / b;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

/// Returns a text or a sequence repeated `count` times.
inline Value repeated(Runtime& runtime, const Value& value, std::int64_t count) {
  const std::size_t times = count > 0 ? static_cast<std::size_t>(count) : 0;
  if (value.is_text()) {
    const Text& text = value.text();
    if (!text.bytes.empty()) runtime.fits(times > runtime.options().output ? times : times * text.bytes.size());
    Text out;
    out.markup = text.markup;
    runtime.charge(times * text.bytes.size());
    for (std::size_t i = 0; i < times && !text.bytes.empty(); ++i) out.add(text);
    return make_text(runtime, std::move(out));
  }
  const auto& items = value.as<List>().items;
  if (!items.empty()) runtime.step(times > runtime.options().steps ? times : times * items.size());
  std::vector<Value> out;
  for (std::size_t i = 0; i < times && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return make_list(runtime, std::move(out), value.kind());
}

inline Value joined(Runtime& runtime, const Value& a, const Value& b) {
  if (a.is_text()) {
    Text out = a.text(), right = b.text();
    runtime.fits(out.bytes.size() + right.bytes.size());
    if (out.markup && !right.markup) right = escaped(right);
    if (right.markup && !out.markup) out = escaped(out);
    out.add(right);
    return make_text(runtime, std::move(out));
  }
  std::vector<Value> items = a.as<List>().items;
  items.insert(items.end(), b.as<List>().items.begin(), b.as<List>().items.end());
  runtime.step(items.size());
  return make_list(runtime, std::move(items), a.kind());
}

inline Value binary(Runtime& runtime, const std::string& sign, const Value& a, const Value& b) {
  if (sign == "%" && a.is_text()) return make_text(runtime, percent_format(runtime, a.text(), b));
  if (a.is_undefined()) fail_undefined(runtime, a);
  if (b.is_undefined()) fail_undefined(runtime, b);
  if (a.is_integer() && b.is_integer()) return integer_operation(runtime, sign, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return real_operation(runtime, sign, a.real(), b.real());
  if (sign == "+" && ((a.is_text() && b.is_text()) || (a.is_sequence() && a.kind() == b.kind()))) {
    return joined(runtime, a, b);
  }
  if (sign == "*" && b.is_integer() && (a.is_text() || a.is_sequence())) return repeated(runtime, a, b.integer());
  if (sign == "*" && a.is_integer() && (b.is_text() || b.is_sequence())) return repeated(runtime, b, a.integer());
  runtime.fail("'" + sign + "' is not defined between " + type_name(a) + " and " + type_name(b));
}

/// Returns -value or +value.
inline Value signed_value(Runtime& runtime, const std::string& sign, const Value& value) {
  if (value.is_undefined()) fail_undefined(runtime, value);
  if (value.is_integer()) {
    return sign == "-" ? integer_operation(runtime, "-", 0, value.integer()) : Value(value.integer());
  }
  if (!value.is_number()) runtime.fail("the sign '" + sign + "' is not defined for " + type_name(value));
  return sign == "-" ? -value.real() : value.real();
}

}  // namespace veneer::jinja
