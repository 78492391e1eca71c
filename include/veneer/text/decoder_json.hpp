// SPDX-License-Identifier: Apache-2.0
/// \file decoder_json.hpp
/// Reads the `decoder` of a tokenizer.json: ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder, a
/// Sequence of them, or none, which joins tokens by spaces.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "veneer/text/component_json.hpp"
#include "veneer/text/decoders.hpp"

namespace veneer::detail {

class DecoderReader : ComponentReader {
 public:
  explicit DecoderReader(const TokenizerFile& file) : ComponentReader(file) {}

  std::vector<Decoder> read() const {
    std::vector<Decoder> steps;
    const Json* const found = find_json(root(), key);
    if (is_absent(found)) return {decoders::JoinBySpaces{}};
    each_component(*found, key, "decoders",
                   [&](const Json& one, const std::string& type) { steps.push_back(step(one, type)); });
    return steps;
  }

 private:
  inline static const std::string key = "decoder";

  Decoder step(const Json& one, const std::string& type) const {
    if (type == "ByteLevel") {
      only(one, key, {"type", "add_prefix_space", "trim_offsets", "use_regex"});  // all without effect here
      return decoders::ByteLevel{};
    }
    if (type == "ByteFallback" || type == "Fuse") {
      only(one, key, {"type"});
      return type == "Fuse" ? Decoder(decoders::Fuse{}) : Decoder(decoders::ByteFallback{});
    }
    if (type == "Replace") {
      only(one, key, {"type", "pattern", "content"});
      return decoders::Replace(pattern(one, key), text(one, "content", key));
    }
    if (type == "Strip") {
      only(one, key, {"type", "content", "start", "stop"});
      return decoders::Strip(character(one, "content", key), count(one, "start"), count(one, "stop"));
    }
    if (type == "Metaspace") {
      only(one, key, {"type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
      return decoders::Metaspace(character(one, "replacement", key), prefix_scheme(one, key) != PiecePrefix::never);
    }
    if (type == "BPEDecoder") {
      only(one, key, {"type", "suffix"});
      const std::string& suffix = text(one, "suffix", key);
      if (suffix.empty()) fail(Reason::unsupported_option, key + ".suffix", "is empty");
      return decoders::WordSuffix(suffix);
    }
    fail(Reason::unsupported_decoder, key,
         "the decoder \"" + printable(type) +
             "\" is not supported; supported: ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder, "
             "Sequence");
  }

  std::size_t count(const Json& one, const char* name) const {
    const std::string path = key + "." + name;
    return static_cast<std::size_t>(id(member(one, name, path), path));
  }
};

}  // namespace veneer::detail
