// SPDX-License-Identifier: Apache-2.0
/// \file readers.hpp
/// The readers of files that come from anywhere: how each is fed, what it begins from, what its errors are called.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <sys/mman.h>

#include "veneer/io/json.hpp"
#include "veneer/io/utf8.hpp"
#include "veneer/recipe_file.hpp"
#include "veneer/text/dataset.hpp"
#include "veneer/text/tokenizer.hpp"

#include "model_lines.hpp"
#include "must.hpp"
#include "support/temporary_folder.hpp"

namespace veneer::fuzz {

struct Reader {
  std::string name;
  std::vector<std::string> corpus;
  std::vector<std::string> words;
  /// Returns when there is a result, throws a veneer::Error when the input is bad. Anything else is a finding.
  std::function<void(const std::string&)> read;
};

/// The files of a folder, or a file; none over `limit` bytes, so that an input costs little.
inline std::vector<std::string> files_of(const std::filesystem::path& path, std::size_t limit = 8192) {
  std::vector<std::filesystem::path> paths;
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(path);
  }
  std::vector<std::string> texts;
  for (const auto& file : paths) {
    if (std::filesystem::is_regular_file(file) && std::filesystem::file_size(file) <= limit)
      texts.push_back(testing::file_bytes(file));
  }
  return texts;
}

/// Puts what can be read in often enough that half of the inputs begin from it.
inline void favour(std::vector<std::string>& corpus, const std::vector<std::string>& good) {
  for (std::size_t i = 0, others = corpus.size(); i < others; ++i) corpus.push_back(good[i % good.size()]);
}

/// A tokenizer.json with the tokens of the lowest ids alone, and the merges that are left.
inline std::string reduced_tokenizer(const std::filesystem::path& file, std::int64_t tokens) {
  Json json = parse_json(testing::file_bytes(file), file.string());
  Json vocabulary = Json::object(), merges = Json::array();
  for (const auto& [token, id] : json["model"]["vocab"].items())
    if (id.get<std::int64_t>() < tokens) vocabulary[token] = id;
  for (const Json& merge : json["model"]["merges"]) {
    const std::string pair = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = pair.find(' ');
    const std::string left = merge.is_string() ? pair.substr(0, space) : merge[0].get<std::string>();
    const std::string right = merge.is_string() ? pair.substr(space + 1) : merge[1].get<std::string>();
    if (vocabulary.contains(left) && vocabulary.contains(right) && vocabulary.contains(left + right))
      merges.push_back(merge);
  }
  json["model"]["vocab"] = vocabulary;
  json["model"]["merges"] = merges;
  return json.dump();
}

inline Reader tokenizer_reader(const std::filesystem::path& data) {
  Reader reader{"tokenizer", files_of(data / "text" / "bad_tokenizers"), {}, {}};
  std::vector<std::string> good = files_of(data / "text" / "bad_tokenizers" / "ok.json");
  for (const char* name :
       {"gpt2-prefix-tiny", "gpt2-tiny", "llama3-tiny", "qwen2-tiny", "spm-legacy-tiny", "spm-metaspace-tiny"})
    good.push_back(reduced_tokenizer(data / "text" / "tokenizers" / name / "tokenizer.json", 270));
  favour(reader.corpus, good);
  reader.words = {"model",
                  "vocab",
                  "merges",
                  "type",
                  "BPE",
                  "added_tokens",
                  "content",
                  "special",
                  "normalizer",
                  "pre_tokenizer",
                  "Sequence",
                  "Split",
                  "ByteLevel",
                  "Digits",
                  "NFC",
                  "pattern",
                  "Regex",
                  "behavior",
                  "Isolated",
                  "invert",
                  "decoder",
                  "post_processor",
                  "TemplateProcessing",
                  "single",
                  "lstrip",
                  "rstrip",
                  "single_word",
                  "normalized",
                  "unk_token",
                  "byte_fallback",
                  "ignore_merges",
                  "add_prefix_space",
                  "use_regex",
                  "null",
                  "true",
                  "false"};
  reader.read = [](const std::string& bytes) {
    const Tokenizer tokenizer = Tokenizer::from_json(bytes);
    const auto ids = tokenizer.encode("Hello  world 1234<|eot|>\n e\xCC\x81");
    for (const std::int32_t id : ids) must(id >= 0 && id <= tokenizer.largest_id(), "an id that the vocabulary lacks");
    must(!find_invalid_utf8(tokenizer.decode(ids)), "decoded text that is not UTF-8");
    tokenizer.decode(ids, true);
  };
  return reader;
}

inline Reader model_reader(const std::filesystem::path& data) {
  Reader reader{"model", {}, {}, {}};
  // The least normalization table: 256 nodes, and one replacement, which is empty.
  std::string table("\0\4\0\0", 4);
  table.append(1025, '\0');
  const std::string with_table = protobuf_record(3, protobuf_record(2, table));
  for (const char* name : {"spm-legacy-tiny", "spm-metaspace-tiny", "unigram-tiny"}) {
    const std::string whole = testing::file_bytes(data / "text" / "tokenizers" / name / "tokenizer.model");
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

inline Reader dataset_reader(const std::filesystem::path& data) {
  Reader reader{"dataset", files_of(data / "text" / "datasets" / "bad", 2048), {}, {}};
  favour(reader.corpus, files_of(data / "text" / "datasets" / "ok", 2048));
  LineReader recorded(data / "text" / "chat" / "tools.jsonl");
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

inline Reader recipe_reader(const std::filesystem::path& source) {
  Reader reader{"recipe", files_of(source / "examples" / "recipes"), {}, {}};
  for (const char* text :
       {"method: lora\nlr: 2e-4\ntargets: [q_proj, v_proj]\nshuffle: false\n",
        "layers: []\ndata: \"\"\nmodel: 'it''s'\nexclude: \"a\\\"b\\u00e9\"\n", "---\nrank: 8\n...\n",
        "rank-pattern:\n  - o_proj=8\n  - \"q_proj=4\"\nwarmup: |\n  0.03\n", "a: &x 1\nb: *x\n",
        "%YAML 1.2\n---\na: !!str 1\n", "{a: 1, b: [2, 3]}\n", "? a\n: - 1\n  - 2\n"})
    reader.corpus.push_back(text);
  reader.words = {"method",
                  "rank",
                  ": ",
                  "- ",
                  "? ",
                  "&a ",
                  "*a",
                  "!!int ",
                  "!<x> ",
                  "<<: ",
                  "|\n",
                  ">-\n",
                  "---\n",
                  "...\n",
                  "%TAG ! x\n",
                  "null",
                  "~",
                  "true",
                  "[]",
                  "{}",
                  "''",
                  "\"\\x00\"",
                  "\"\\U0010FFFF\"",
                  "\t",
                  "# "};
  reader.read = [](const std::string& bytes) {
    std::set<std::string> keys;
    for (const program::RecipeEntry& entry : program::read_recipe(bytes, "recipe.yaml")) {
      must(keys.insert(entry.key).second, "a key twice");
      must(entry.list || entry.values.size() == 1, "a value");
      must(entry.line >= 1, "a line");
      for (const std::string& value : entry.values)
        must(!find_invalid_utf8(value) && value.find('\0') == std::string::npos, "text");
    }
  };
  return reader;
}

/// A reader that fails as a broken one would, so that it can be tested that this is found.
inline Reader broken_reader() {
  return {"broken", {"12345678"}, {"word"}, [](const std::string& bytes) {
            expects<FormatError>(bytes.size() >= 8, "too short");
            must(bytes.find("word") == std::string::npos, "the reader is broken");
          }};
}

inline std::string reason_of(const Error& error) {
  if (const auto* tokenizer = dynamic_cast<const TokenizerError*>(&error))
    return std::string(to_string(tokenizer->reason));
  if (const auto* dataset = dynamic_cast<const DatasetError*>(&error)) return std::string(to_string(dataset->reason));
  if (const auto* recipe = dynamic_cast<const program::RecipeError*>(&error))
    return std::string(program::to_string(recipe->reason));
  if (dynamic_cast<const FormatError*>(&error) != nullptr) return "another FormatError";
  if (dynamic_cast<const ArgumentError*>(&error) != nullptr) return "ArgumentError";
  return "another Error";
}

}  // namespace veneer::fuzz
