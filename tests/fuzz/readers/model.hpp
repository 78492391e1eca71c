// SPDX-License-Identifier: Apache-2.0
/// \file model.hpp
/// tokenizer.model, as bytes and as the lines of model_lines.hpp.
#pragma once

#include <cstdint>
#include <string>

#include "veneer/io/utf8.hpp"
#include "veneer/text/tokenizer.hpp"

#include "fuzz/model_lines.hpp"
#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline Reader model_reader(const Sources& sources) {
  Reader reader{{}, {}, {}, reason_of<TokenizerError>};
  // The smallest normalization table: 256 nodes, and one replacement, which is empty.
  std::string table("\0\4\0\0", 4);
  table.append(1025, '\0');
  const std::string with_table = protobuf_record(3, protobuf_record(2, table));
  for (const char* name : {"spm-legacy-tiny", "spm-metaspace-tiny", "unigram-tiny"}) {
    const std::string whole = testing::file_bytes(sources.data / "text" / "tokenizers" / name / "tokenizer.model");
    const std::string lines = model_lines(whole, 300);
    for (const std::string& text : {lines, lines, lines, model_of_lines(lines)}) reader.corpus.push_back(text);
    reader.corpus.push_back(model_of_lines(lines) + with_table);
    reader.corpus.push_back(model_lines(model_of_lines(lines) + with_table, 280));
  }
  reader.words = {"1 0 a\n", "2 0 <unk>\n", "3 0 <s>\n", "4 0 x\n", "6 0 <0x41>\n", "\xE2\x96\x81", "nan",
                  "inf",     "-1e38",       "5 0 u\n",   "=",       "7 0 y\n",      "1 0 \n",       "1 -1 ab\n"};
  reader.read = [](const std::string& bytes) {
    const Tokenizer tokenizer = Tokenizer::from_model(bytes.starts_with("lines") ? model_of_lines(bytes) : bytes);
    const auto ids = tokenizer.encode("Hello  world 1234<s>\n e\xCC\x81 \xEF\xBC\xA1");
    for (const std::int32_t id : ids) must(id >= 0 && id <= tokenizer.largest_id(), "an id that the vocabulary lacks");
    must(!find_invalid_utf8(tokenizer.decode(ids)), "decoded text that is not UTF-8");
    tokenizer.decode(ids, true);
  };
  return reader;
}

}  // namespace veneer::fuzz
