// SPDX-License-Identifier: Apache-2.0
/// \file gguf.hpp
/// The reader of GGUF files: accepted files have all tensors inside the file and can be written again, key by key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "veneer/io/gguf/encode.hpp"
#include "veneer/io/gguf/reader.hpp"
#include "veneer/io/gguf/writer.hpp"

#include "fuzz/must.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

/// Returns a file with all kinds of values and some tensors, as text.
inline std::string gguf_of_all_kinds() {
  const std::vector<GgufKey> keys{{"general.architecture", std::string("llama")},
                                  {"a.u8", std::uint8_t{200}},
                                  {"a.u32", std::uint32_t{7}},
                                  {"a.i64", std::int64_t{-1}},
                                  {"a.f32", 1.5f},
                                  {"a.f64", 0.1},
                                  {"a.bool", true},
                                  {"a.texts", std::vector<std::string>{"x", "", "yz"}},
                                  {"a.types", std::vector<std::int32_t>{1, -2, 3}},
                                  {"a.flags", std::vector<bool>{true, false}}};
  std::vector<GgufTensor> tensors{{"blk.0.attn_q.weight", GgmlType::f32, {2, 3}},
                                  {"blk.0.attn_k.weight", GgmlType::q8_0, {2, 32}},
                                  {"output_norm.weight", GgmlType::bf16, {5}}};
  veneer::detail::GgufPlan plan = veneer::detail::plan_gguf(keys, tensors, "memory");
  return plan.head + std::string(static_cast<std::size_t>(plan.total) - plan.head.size(), '\1');
}

/// Reads a file, and checks everything found.
inline void read_gguf(const std::string& bytes) {
  const auto all = std::as_bytes(std::span(bytes.data(), bytes.size()));
  const GgufFile file = GgufFile::parse(all, "memory");
  for (const GgufEntry& entry : file.tensors()) {
    must(entry.data.data() >= all.data() && entry.data.data() + entry.data.size() <= all.data() + all.size(), "inside");
    must(file.tensor(entry.name) == &entry, "a tensor twice");
    if (!entry.data.empty()) must(entry.data.front() == entry.data.front(), "readable");
  }
  std::string again;
  for (const GgufKey& key : file.keys()) veneer::detail::append_gguf_key(again, key);
  if (file.version() == 3) must(bytes.substr(24, again.size()) == again, "keys that are not those of the file");
}

inline Reader gguf_reader(const Sources&) {
  return {{gguf_of_all_kinds()},
          {"GGUF", std::string("\0\0\0\0\0\0\0\0", 8), "\xff\xff\xff\xff", "general.alignment"},
          read_gguf,
          kind_of};
}

}  // namespace veneer::fuzz
