// SPDX-License-Identifier: Apache-2.0
/// \file sharded_checkpoint.hpp
/// model.safetensors.index.json and its shards, or model.safetensors alone: every name leads to a tensor.
#pragma once

#include <memory>
#include <string>

#include "veneer/io/safetensors.hpp"

#include "fuzz/parts.hpp"
#include "fuzz/readers/safetensors.hpp"

namespace veneer::fuzz {

inline Reader sharded_checkpoint_reader(const Sources&) {
  Reader reader{{}, {}, {}, safetensors_reason};
  const std::string a = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"
                        "\n12345678\n";
  const std::string bc = R"({"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]},"c":{"dtype":"U8","shape":[0],)"
                         R"("data_offsets":[4,4]}})"
                         "\n1234\n";
  const std::string index = "== model.safetensors.index.json\n";
  reader.corpus = {index +
                       R"({"metadata":{"total_size":12},"weight_map":{"a":"one.safetensors","b":"two.safetensors",)"
                       R"("c":"two.safetensors"}})"
                       "\n== one.safetensors\n" +
                       a + "== two.safetensors\n" + bc,
                   index +
                       R"({"weight_map":{"a":"one.safetensors"}})"
                       "\n== one.safetensors\n" +
                       a,
                   index +
                       R"({"metadata":{},"weight_map":{"a":"../one.safetensors","b":"/two.safetensors","x":"one.bin"}})"
                       "\n== one.safetensors\n" +
                       a,
                   "== model.safetensors\n" + bc, "== pytorch_model.bin\nPK\n"};
  reader.words = {"weight_map",           "metadata", "total_size", "one.safetensors",
                  "two.safetensors",      "..",       "/",          "\n== ",
                  "== one.safetensors\n", "a",        "b",          "c",
                  "model.safetensors",    "one.bin",  "dtype",      "shape"};
  auto folder = std::make_shared<PartsFolder>();
  reader.read = [folder](const std::string& input) {
    folder->write(input);
    const ShardedCheckpoint checkpoint(folder->path());
    for (const std::string& name : checkpoint.names()) decode_all(checkpoint.at(name));
  };
  return reader;
}

}  // namespace veneer::fuzz
