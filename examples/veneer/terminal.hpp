// SPDX-License-Identifier: Apache-2.0
/// \file terminal.hpp
/// Lines from stdin, and Ctrl+C as something that can be asked about.
#pragma once

#include <csignal>
#include <string>

namespace veneer::program {

/// While there is one, Ctrl+C ends nothing by itself. One at a time.
class Terminal {
 public:
  enum class Event { line, end, interrupted };

  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Waits for a line; shows "> " where stdin and stdout are a terminal. The line comes without its end.
  /// \throws IoError when stdin can't be read
  Event read(std::string& line);

  /// Whether Ctrl+C came since it was last forgotten.
  bool interrupted() const;
  void forget_interrupt();

 private:
  bool take_line(std::string& line);

  bool prompts_;
  std::string pending_;  // read, and not yet given out
  struct sigaction before_ {};
};

}  // namespace veneer::program
