// SPDX-License-Identifier: Apache-2.0
/// \file terminal.hpp
/// Terminal: reads lines from stdin, and reports Ctrl+C as an event.
#pragma once

#include <csignal>
#include <string>

namespace veneer::program {

/// A handler of Ctrl+C: while it exists, Ctrl+C does not end the program. There may be one at a time.
class Terminal {
 public:
  enum class Event { line, end, interrupted };

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Waits for a line; shows "> " if stdin and stdout are a terminal. Returns the line without its end.
  /// \throws IoError when stdin can't be read
  Event read(std::string& line);

  /// Returns whether Ctrl+C was pressed since the last reset.
  bool interrupted() const;
  void forget_interrupt();

 private:
  bool take_line(std::string& line);

  bool prompts_;
  std::string pending_;  // read, and not yet returned
  struct sigaction before_ {};
};

}  // namespace veneer::program
