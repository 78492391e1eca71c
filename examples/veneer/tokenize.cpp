// SPDX-License-Identifier: Apache-2.0
/// \file tokenize.cpp
/// veneer tokenize: converts lines of text on stdin to lists of ids on stdout, or ids to text.
///
///   Hello               -> [15496]                plain: a line is a text
///   "two\nlines"        -> [11545, 198, 6615]     --json: a line is a JSON string
///   [15496]             -> "Hello"                --decode: a line is a JSON list, and the output a JSON string
#include <iostream>
#include <limits>
#include <memory>
#include <string>

#include "veneer/io/json.hpp"

#include "command.hpp"
#include "model_flags.hpp"

namespace veneer::program {

namespace {

struct TokenizeFlags {
  std::string model;
  bool json = false, decode = false, no_special = false;
};

constexpr JsonLimits line_limits{std::size_t{64} << 20, 8};

std::string encode_line(const Tokenizer& tokenizer, const std::string& line, const TokenizeFlags& flags,
                        const std::string& where) {
  const std::string text = flags.json ? json_as<std::string>(parse_json(line, where, line_limits), where) : line;
  if (const auto bad = find_invalid_utf8(text))
    throw FormatError(where + ": byte " + std::to_string(*bad) + " is not UTF-8");
  std::string out = "[";
  for (const std::int32_t id : tokenizer.encode(text, {.add_special_tokens = !flags.no_special})) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(id);
  }
  return out + "]\n";
}

std::string decode_line(const Tokenizer& tokenizer, const std::string& line, const TokenizeFlags& flags,
                        const std::string& where) {
  std::vector<std::int32_t> ids;
  for (const std::int64_t id : json_as<std::vector<std::int64_t>>(parse_json(line, where, line_limits), where)) {
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max())
      throw FormatError(where + ": found " + std::to_string(id) + ", expected ids from 0 to 2147483647");
    ids.push_back(static_cast<std::int32_t>(id));
  }
  std::string out;
  append_json_string(out, tokenizer.decode(ids, flags.no_special), false);
  return out + "\n";
}

int run_tokenize(const TokenizeFlags& flags) {
  std::error_code error;
  const bool file = std::filesystem::is_regular_file(flags.model, error);
  const Tokenizer tokenizer = file ? Tokenizer::from_file(flags.model) : Tokenizer::from_folder(flags.model);
  std::ios::sync_with_stdio(false);
  std::string line;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    const std::string where = "stdin: line " + std::to_string(number);
    print(flags.decode ? decode_line(tokenizer, line, flags, where) : encode_line(tokenizer, line, flags, where));
  }
  flush();
  return done;
}

}  // namespace

void add_tokenize(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app.add_subcommand("tokenize", "convert lines of text on stdin to lists of ids, or ids to text");
  command->add_option("--model", flags->model, "folder of a Hugging Face model, or a tokenizer.json")->required();
  command->add_flag("--json", flags->json, "each line is a JSON string");
  command->add_flag("--decode", flags->decode, "each line is a JSON list of ids; the output is JSON strings");
  command->add_flag("--no-special", flags->no_special, "add no special tokens; with --decode remove them");
  command->callback([flags, &run] { run = [flags] { return run_tokenize(*flags); }; });
}

}  // namespace veneer::program
