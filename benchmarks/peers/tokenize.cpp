// SPDX-License-Identifier: Apache-2.0
/// \file tokenize.cpp
/// The program used by tokenize.py.
///
///   peer_tokenize TOKENIZER TEXT     answers each line "whole" or "lines" with: seconds ids hash peak
///
/// whole: the text in one call; lines: one call per line. seconds: processor time. hash: FNV-1a over the ids. peak: the
/// largest growth of the process in bytes since the text was read.
#include <cstdint>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/io/file.hpp"
#include "veneer/text/tokenizer.hpp"

namespace {

using namespace veneer;

/// Returns a value of /proc/self/status, in bytes.
std::size_t status(std::string_view key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return static_cast<std::size_t>(std::stoull(line.substr(key.size() + 1))) * 1024;
  }
  return 0;
}

std::vector<std::int32_t> encode_lines(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    const auto some = tokenizer.encode(text.substr(at, end - at), {.add_special_tokens = false});
    ids.insert(ids.end(), some.begin(), some.end());
    at = end;
  }
  return ids;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const Tokenizer tokenizer = Tokenizer::from_file(argv[1]);
  const std::string text = read_text(argv[2], std::size_t{1} << 32);
  const std::size_t before = status("VmRSS:");
  for (std::string what; std::getline(std::cin, what);) {
    const std::clock_t begin = std::clock();
    const std::vector<std::int32_t> ids =
        what == "lines" ? encode_lines(tokenizer, text) : tokenizer.encode(text, {.add_special_tokens = false});
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const std::int32_t id : ids) {
      for (int shift = 0; shift < 32; shift += 8)
        hash = (hash ^ ((static_cast<std::uint32_t>(id) >> shift) & 255u)) * 0x100000001B3u;
    }
    std::cout << seconds << ' ' << ids.size() << ' ' << hash << ' ' << status("VmHWM:") - before << std::endl;
  }
}
