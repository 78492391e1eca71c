// SPDX-License-Identifier: Apache-2.0
#include "terminal.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "veneer/core/error.hpp"

#include "model_flags.hpp"

namespace veneer::program {

namespace {

// The handler writes to a pipe on which the reader waits together with stdin: a signal between a check and the wait, or
// one handled by another thread, still wakes the reader.
std::array<int, 2> wake{-1, -1};
std::atomic<bool> came = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch lock-free atomics only");

void on_interrupt(int) {
  const int number = errno;
  came = true;
  [[maybe_unused]] const auto written = ::write(wake[1], "x", 1);  // full: there is already a byte to read
  errno = number;
}

}  // namespace

Terminal::Terminal() : prompts_(::isatty(0) == 1 && ::isatty(1) == 1) {
  if (::pipe2(wake.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    throw IoError(std::string("a pipe can't be made: ") + std::strerror(errno));
  }
  came = false;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &before_);
}

Terminal::~Terminal() {
  ::sigaction(SIGINT, &before_, nullptr);
  ::close(wake[0]);
  ::close(wake[1]);
}

bool Terminal::interrupted() const { return came; }

void Terminal::forget_interrupt() {
  char drop[64];
  while (::read(wake[0], drop, sizeof drop) > 0) {
  }
  came = false;
}

bool Terminal::take_line(std::string& line) {
  const std::size_t end = pending_.find('\n');
  if (end == std::string::npos) return false;
  line = pending_.substr(0, end);
  pending_.erase(0, end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

Terminal::Event Terminal::read(std::string& line) {
  if (prompts_) {
    print("> ");
    flush();
  }
  while (!take_line(line)) {
    std::array<pollfd, 2> both{{{0, POLLIN, 0}, {wake[0], POLLIN, 0}}};
    if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) {
      throw IoError(std::string("stdin: can't be waited for: ") + std::strerror(errno));
    }
    if (came) return Event::interrupted;
    if (both[0].revents == 0) continue;
    char buffer[4096];
    const auto count = ::read(0, buffer, sizeof buffer);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) throw IoError(std::string("stdin: can't be read: ") + std::strerror(errno));
    if (count > 0) {
      pending_.append(buffer, static_cast<std::size_t>(count));
    } else if (pending_.empty()) {
      if (prompts_) print("\n");
      return Event::end;
    } else {
      pending_ += '\n';  // a last line without its end
    }
  }
  return Event::line;
}

}  // namespace veneer::program
