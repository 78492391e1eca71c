// SPDX-License-Identifier: Apache-2.0
/// \file dataset.hpp
/// JSON lines and plain texts: records in order, texts in UTF-8.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>

#include <sys/mman.h>

#include "veneer/io/json.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/text/dataset.hpp"
#include "veneer/text/line_reader.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

/// A file in memory, under a name that ends as a data set's does.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    must(descriptor_ >= 0, "no file in memory");
    for (const char* name : {"data.jsonl", "data.txt"})
      std::filesystem::create_symlink("/proc/self/fd/" + std::to_string(descriptor_), folder_ / name);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }

  void write(const std::string& bytes) const {
    must(::ftruncate(descriptor_, 0) == 0, "the file in memory can't be cut");
    must(::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
         "the file in memory can't be written");
  }
  std::filesystem::path path(const char* name) const { return folder_ / name; }

 private:
  testing::TemporaryFolder folder_;
  int descriptor_;
};

inline Reader dataset_reader(const Sources& sources) {
  Reader reader{files_of(sources.data / "text" / "datasets" / "bad", 2048), {}, {}, reason_of<DatasetError>};
  favour(reader.corpus, files_of(sources.data / "text" / "datasets" / "ok", 2048));
  LineReader recorded(sources.data / "text" / "chat" / "tools.jsonl");
  while (const std::optional<Line> line = recorded.next())
    reader.corpus.push_back(parse_json(line->text, "tools.jsonl").at("record").dump() + "\n");
  reader.corpus.push_back(
      R"({"system": "s", "tools": "[{\"name\": \"f\"}]", "conversations": [{"from": "human", "value": "a"},)"
      R"( {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}"},)"
      R"( {"from": "observation", "value": "b"}]})");
  reader.corpus.push_back(R"({"instruction": "a", "output": "b", "system": "s", "history": [["c", "d"]]})");
  reader.words = {
      "text",       "prompt", "completion", "messages",  "conversations", "instruction", "output",
      "input",      "role",   "content",    "user",      "assistant",     "system",      "from",
      "value",      "human",  "gpt",        "input_ids", "labels",        "-100",        "null",
      "true",       "[1,2]",  "\n",         "weight",    "train",         "loss",        "tools",
      "tool_calls", "tool",   "documents",  "history",   "function_call", "observation", "chat_template_kwargs",
      "arguments",  "name",   "type",       "0",         "false"};
  auto file = std::make_shared<MemoryFile>();
  reader.read = [file](const std::string& bytes) {
    file->write(bytes);
    const bool plain = bytes.size() % 8 == 0;
    DatasetReader records(file->path(plain ? "data.txt" : "data.jsonl"), bytes.size() % 2 == 0 ? 0 : 1000);
    std::size_t line = 0;
    for (Record record; records.next(record); line = record.line) {
      must(record.line > line, "records out of order");
      must(!find_invalid_utf8(record.prompt) && !find_invalid_utf8(record.text), "text that is not UTF-8");
      must(record.labels.size() == record.ids.size(), "as many labels as ids");
      for (const Message& message : record.messages) {
        must(!find_invalid_utf8(message.content), "a message that is not UTF-8");
        must(message.whole.is_null() || message.whole.at("role") == message.role, "a message with two roles");
      }
    }
  };
  return reader;
}

}  // namespace veneer::fuzz
