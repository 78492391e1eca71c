// SPDX-License-Identifier: Apache-2.0
/// \file runtime.hpp
/// The errors of templates, and the limits of rendering.
#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "veneer/core/error.hpp"

namespace veneer {

/// A template that cannot be parsed or rendered. The message names the line and the construct.
class JinjaError : public FormatError {
 public:
  explicit JinjaError(const std::string& message, std::size_t line = 0, std::optional<std::string> raised = {})
      : FormatError(message), line_(line), raised_(std::move(raised)) {}

  std::size_t line() const { return line_; }
  /// Returns the message that the template passed to `raise_exception`.
  const std::optional<std::string>& raised() const { return raised_; }

 private:
  std::size_t line_;
  std::optional<std::string> raised_;
};

/// The limits of one rendering, and the inputs of a template in addition to its variables.
struct JinjaOptions {
  std::size_t steps = 20'000'000;                // evaluated nodes and visited items
  std::size_t depth = 600;                       // nested evaluations: expressions, statements, macro calls
  std::size_t output = std::size_t{64} << 20;    // bytes of the result and of any intermediate string
  std::size_t memory = std::size_t{1024} << 20;  // bytes of all created values, in total
  std::optional<std::tm> now{};                  // for `strftime_now`; empty: the local time
  std::vector<std::string> input_names = {"messages", "tools", "documents"};
};

namespace jinja {

/// An exceeded limit, which the interpreter does not catch.
struct JinjaLimit : JinjaError {
  using JinjaError::JinjaError;
};

/// The counters of a rendering. `line` is the line of the current node.
class Runtime {
 public:
  static constexpr std::size_t value_nesting = 200;

  Runtime(const JinjaOptions& options, const std::string& where) : options_(options), where_(where) {}

  const JinjaOptions& options() const { return options_; }
  std::size_t line = 1;

  [[noreturn]] void fail(const std::string& message) const {
    throw JinjaError(where_ + ", line " + std::to_string(line) + ": " + message, line);
  }
  [[noreturn]] void raise(const std::string& message) const {
    throw JinjaError(where_ + ", line " + std::to_string(line) + ": the template refuses its input: " + message, line,
                     message);
  }
  [[noreturn]] void limit(const std::string& message) const {
    throw JinjaLimit(where_ + ", line " + std::to_string(line) + ": " + message, line);
  }

  void step(std::size_t count = 1) {
    steps_ += count;
    if (steps_ > options_.steps) limit("more than " + std::to_string(options_.steps) + " steps");
  }

  /// Counts bytes before or after they are allocated.
  void charge(std::size_t bytes) {
    if (bytes > options_.memory - memory_) limit("more than " + std::to_string(options_.memory) + " bytes of values");
    memory_ += bytes;
  }

  /// Throws for a string of more than `output` bytes before it is created.
  void fits(std::size_t bytes) const {
    if (bytes > options_.output) limit("a text of more than " + std::to_string(options_.output) + " bytes");
  }

  /// A scope of one level of nested evaluation.
  class Level {
   public:
    explicit Level(Runtime& runtime) : runtime_(runtime) {
      if (++runtime_.depth_ > runtime_.options_.depth) {
        --runtime_.depth_;
        runtime_.limit("nested deeper than " + std::to_string(runtime_.options_.depth) + " levels");
      }
    }
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

 private:
  const JinjaOptions& options_;
  const std::string& where_;
  std::size_t steps_ = 0, memory_ = 0, depth_ = 0;
};

}  // namespace jinja
}  // namespace veneer
