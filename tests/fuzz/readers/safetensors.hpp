// SPDX-License-Identifier: Apache-2.0
/// \file safetensors.hpp
/// A safetensors file: header and data. Tensors are inside the file, and decoded tensors have the number of values
/// of their shape.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/safetensors.hpp"

#include "fuzz/must.hpp"
#include "fuzz/parts.hpp"
#include "fuzz/reader.hpp"

namespace veneer::fuzz {

inline std::string safetensors_reason(const Error& error) {
  const auto* own = dynamic_cast<const SafetensorsFormatError*>(&error);
  return own != nullptr ? "rule " + std::to_string(static_cast<int>(own->code)) : kind_of(error);
}

/// Decodes a tensor in each way that its type has.
inline void decode_all(const TensorEntry& entry) {
  const auto count = static_cast<std::size_t>(element_count(entry));
  must(count <= 8 * entry.bytes || entry.bytes == 0, "more values than bits");
  std::vector<float> floats(count);
  std::vector<double> doubles(count);
  try {
    read_floats(entry, floats.data());
    read_floats(entry, doubles.data());
  } catch (const FormatError&) {  // a type without a value in float
  }
  try {
    must(read_integers(entry).size() == count, "as many values as the shape says");
  } catch (const FormatError&) {
  }
}

inline Reader safetensors_reader(const Sources& sources) {
  Reader reader{{}, {}, {}, safetensors_reason};
  for (const auto& file : {sources.data / "adapters" / "lora-qv" / "adapter_model.safetensors",
                           sources.data / "adapters" / "lora-qv-bf16" / "adapter_model.safetensors"}) {
    reader.corpus.push_back(testing::file_bytes(file));
    reader.corpus.push_back(safetensors_text(testing::file_bytes(file)));
  }
  for (const char* small :
       {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"
        "\n12345678",
        R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},)"
        R"("b":{"dtype":"F8_E4M3","shape":[],"data_offsets":[4,5]}})"
        "\n12345",
        R"({"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"n":{"dtype":"U8","shape":[0],)"
        R"("data_offsets":[8,8]},"b":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]}})"
        "\n12345678\x01\x01\x01",
        R"({"q":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})"
        "\nab",
        "{}\n"})
    for (int times = 0; times < 3; ++times) reader.corpus.push_back(small);
  reader.words = {"dtype", "shape",   "data_offsets", "__metadata__", "format", "F32",     "F64",  "F16",
                  "BF16",  "I64",     "I32",          "I16",          "I8",     "U8",      "BOOL", "F4",
                  "U64",   "F8_E5M2", "C64",          "[0,8]",        "[8,8]",  "[1,2,3]", "\n"};
  auto folder = std::make_shared<PartsFolder>();
  reader.read = [folder](const std::string& bytes) {
    folder->write("== model.safetensors\n" + bytes);
    const SafetensorsFile file(folder->path() / "model.safetensors");
    const std::vector<std::string> names = file.names();
    must(names.size() == file.size(), "as many names as tensors");
    for (const std::string& name : names) decode_all(file.at(name));
    for (const auto& [key, value] : file.metadata()) must(!find_invalid_utf8(key + value), "text that is not UTF-8");
  };
  return reader;
}

}  // namespace veneer::fuzz
