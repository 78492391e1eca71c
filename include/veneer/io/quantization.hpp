// SPDX-License-Identifier: Apache-2.0
/// \file quantization.hpp
/// 4-bit weights in files, in the format of bitsandbytes: their description in config.json, and the tensors
/// of one weight.
///
///   X.weight                      U8 (count / 2, 1); or the same bytes under another dtype, `bnb_4bit_quant_storage`
///   X.weight.absmax               F32 (blocks), or U8 (blocks) in double quantisation, which then has
///   X.weight.nested_absmax        F32 (blocks / 256, up)      X.weight.nested_quant_map   F32 (256)
///   X.weight.quant_map            F32 (16)
///   X.weight.quant_state.bitsandbytes__nf4, or __fp4          U8: JSON of shape, block size, dtype, nested_offset
/// Values are decoded with the maps of the file. A shape, a size or a key that does not fit is an error. Source:
/// bitsandbytes 0.50, functional.py (QuantState); transformers 5, utils/quantization_config.py.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"
#include "veneer/quant/nf4_tensor.hpp"

namespace veneer {

/// The `quantization_config` of a model with 4-bit linear layers.
struct QuantizationConfig {
  CodeBook book = CodeBook::nf4;
  bool double_quant = false;
  std::string compute_dtype = "float32";
};

/// Returns the quantisation in a config.json; nullopt if its weights are not quantised.
/// \throws FormatError when the quantisation is not supported
inline std::optional<QuantizationConfig> read_quantization(const Json& raw, const std::string& where) {
  const Json* json = find_json(raw, "quantization_config");
  if (json == nullptr || json->is_null()) return std::nullopt;
  const std::string at = where + ": \"quantization_config\"";
  const Json* method = find_json(*json, "quant_method");
  const bool known = method != nullptr && *method == "bitsandbytes";
  if (!known || !find_boolean(*json, "load_in_4bit", at).value_or(false)) {
    throw FormatError(at + ": a checkpoint quantised with " +
                      (method == nullptr ? std::string("an unnamed method") : describe_json(*method)) +
                      (known ? " in 8 bits" : "") +
                      " can't be read here: take the model in 16 or 32 bits, or in 4 bits by bitsandbytes");
  }
  QuantizationConfig config;
  const std::string type = find_text(*json, "bnb_4bit_quant_type", at).value_or("fp4");
  expects<FormatError>(type == "nf4" || type == "fp4",
                       at + ": \"bnb_4bit_quant_type\": found \"" + printable(type) + "\", nf4 and fp4 are supported");
  config.book = type == "nf4" ? CodeBook::nf4 : CodeBook::fp4;
  config.double_quant = find_boolean(*json, "bnb_4bit_use_double_quant", at).value_or(false);
  config.compute_dtype = find_text(*json, "bnb_4bit_compute_dtype", at).value_or("float32");
  return config;
}

/// Returns the object that transformers writes.
/// \param dense  linear modules whose weights are not in 4 bits, except the head
inline Json quantization_json(const QuantizationConfig& config, const std::vector<std::string>& dense) {
  Json skip = nullptr;
  if (!dense.empty()) {
    skip = dense;
    skip.insert(skip.begin(), "lm_head");
  }
  return {{"_load_in_4bit", true},
          {"_load_in_8bit", false},
          {"bnb_4bit_compute_dtype", config.compute_dtype},
          {"bnb_4bit_quant_storage", "uint8"},
          {"bnb_4bit_quant_type", code_book_name(config.book)},
          {"bnb_4bit_use_double_quant", config.double_quant},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_skip_modules", skip},
          {"llm_int8_threshold", 6.0},
          {"load_in_4bit", true},
          {"load_in_8bit", false},
          {"quant_method", "bitsandbytes"}};
}

namespace detail {

/// The JSON of a 4-bit weight.
struct QuantState {
  CodeBook book = CodeBook::nf4;
  index_t blocksize = 64;
  QuantizedFrom from = QuantizedFrom::float32;
  std::vector<std::int64_t> shape;
  bool nested = false;
  index_t nested_block = nested_blocksize;
  float offset = 0.0f;
};

inline constexpr std::array<std::string_view, 3> quantized_from_names{"float32", "float16", "bfloat16"};

inline std::string quant_state_name(const std::string& weight, CodeBook book) {
  return weight + ".quant_state.bitsandbytes__" + code_book_name(book);
}

/// Returns the names of the other parts of a 4-bit weight.
inline std::vector<std::string> packed_names(const std::string& weight) {
  return {weight + ".absmax",
          weight + ".quant_map",
          weight + ".nested_absmax",
          weight + ".nested_quant_map",
          quant_state_name(weight, CodeBook::nf4),
          quant_state_name(weight, CodeBook::fp4)};
}

inline QuantState parse_quant_state(const TensorEntry& entry) {
  const std::string at = "tensor \"" + printable(entry.name) + "\"";
  if (entry.dtype != Dtype::u8) refuse_dtype(entry, "U8");
  const Json json = parse_json(std::string_view(reinterpret_cast<const char*>(entry.data), entry.bytes), at);
  expects<FormatError>(json.is_object(), at + ": expected an object, found " + describe_json(json));
  constexpr std::array<std::string_view, 7> known{"quant_type",       "blocksize",    "dtype",        "shape",
                                                  "nested_blocksize", "nested_dtype", "nested_offset"};
  for (const auto& item : json.items()) {
    expects<FormatError>(std::find(known.begin(), known.end(), item.key()) != known.end(),
                         at + ": the key \"" + printable(item.key()) + "\" is not known");
  }
  QuantState state;
  const std::string type = json_text(json, "quant_type", at), dtype = json_text(json, "dtype", at);
  expects<FormatError>(
      entry.name.ends_with("__" + type) && (type == "nf4" || type == "fp4"),
      at + ": \"quant_type\": found \"" + printable(type) + "\", which differs from the one in the name");
  state.book = type == "nf4" ? CodeBook::nf4 : CodeBook::fp4;
  state.blocksize = json_integer(json, "blocksize", at);
  expects<FormatError>(
      state.blocksize >= 32 && state.blocksize <= 4096 &&
          std::has_single_bit(static_cast<std::uint64_t>(state.blocksize)),
      at + ": \"blocksize\": found " + std::to_string(state.blocksize) + ", expected a power of two from 32 to 4096");
  const auto name = std::find(quantized_from_names.begin(), quantized_from_names.end(), dtype);
  expects<FormatError>(name != quantized_from_names.end(),
                       at + ": \"dtype\": found \"" + printable(dtype) + "\", expected float32, float16 or bfloat16");
  state.from = static_cast<QuantizedFrom>(name - quantized_from_names.begin());
  state.shape = json_get<std::vector<std::int64_t>>(json, "shape", at);
  state.nested = find_json(json, "nested_offset") != nullptr;
  if (!state.nested) return state;
  state.offset = static_cast<float>(json_number(json, "nested_offset", at));
  state.nested_block = json_integer(json, "nested_blocksize", at);
  expects<FormatError>(state.nested_block >= 1, at + ": \"nested_blocksize\": expected at least 1");
  expects<FormatError>(json_text(json, "nested_dtype", at) == "float32", at + ": \"nested_dtype\": expected float32");
  return state;
}

/// Returns a part of a 4-bit weight.
template <class Files>
const TensorEntry& packed_part(const Files& files, const std::string& name, Dtype dtype, index_t count) {
  const TensorEntry* entry = files.find(name);
  expects<FormatError>(entry != nullptr, "tensor \"" + printable(name) + "\": missing part of the 4-bit weight");
  if (entry->dtype != dtype) refuse_dtype(*entry, std::string(dtype_name(dtype)).c_str());
  expects<FormatError>(element_count(*entry) == count, "tensor \"" + printable(name) +
                                                           "\": " + std::to_string(element_count(*entry)) +
                                                           " values, expected " + std::to_string(count));
  return *entry;
}

template <Scalar U, Backend B>
Vector<U, B> vector_of_entry(const TensorEntry& entry, index_t count, const B& device) {
  std::vector<U> values(static_cast<std::size_t>(count));
  std::memcpy(values.data(), entry.data, entry.bytes);
  return from_host(Shape<dyn>(count), values, device);
}

/// Returns whether a weight is in 4 bits.
template <class Files>
bool has_quant_state(const Files& files, const std::string& weight) {
  return files.find(quant_state_name(weight, CodeBook::nf4)) != nullptr ||
         files.find(quant_state_name(weight, CodeBook::fp4)) != nullptr;
}

/// Returns the state of the weight with this name, or nullopt if it is not in 4 bits.
template <class Files>
std::optional<QuantState> find_quant_state(const Files& files, const std::string& weight) {
  const TensorEntry* nf4 = files.find(quant_state_name(weight, CodeBook::nf4));
  const TensorEntry* fp4 = files.find(quant_state_name(weight, CodeBook::fp4));
  if (nf4 == nullptr && fp4 == nullptr) return std::nullopt;
  expects<FormatError>(nf4 == nullptr || fp4 == nullptr,
                       "tensor \"" + printable(weight) + "\": has a state of nf4 and one of fp4");
  return parse_quant_state(nf4 != nullptr ? *nf4 : *fp4);
}

/// Checks all parts of a 4-bit weight against its state.
/// \throws FormatError
template <class Files>
void check_packed(const Files& files, const std::string& weight, const QuantState& state) {
  index_t count = 1;
  for (const std::int64_t extent : state.shape) {
    expects<FormatError>(extent >= 0 && (extent == 0 || count <= (index_t{1} << 62) / extent),
                         "tensor \"" + printable(weight) + "\": shape " + shape_text(state.shape) + " is not possible");
    count *= extent;
  }
  const index_t blocks = ceil_div(count, state.blocksize);
  const TensorEntry& codes = files.at(weight);
  expects<FormatError>(static_cast<index_t>(codes.bytes) == (count + 1) / 2,
                       "tensor \"" + printable(weight) + "\": " + std::to_string(codes.bytes) + " bytes of codes for " +
                           shape_text(state.shape) + ", expected " + std::to_string((count + 1) / 2));
  packed_part(files, weight + ".quant_map", Dtype::f32, 16);
  packed_part(files, weight + ".absmax", state.nested ? Dtype::u8 : Dtype::f32, blocks);
  if (!state.nested) return;
  packed_part(files, weight + ".nested_absmax", Dtype::f32, ceil_div(blocks, state.nested_block));
  packed_part(files, weight + ".nested_quant_map", Dtype::f32, 256);
}

}  // namespace detail

/// Reads a 4-bit weight of a file or a folder of files.
/// \throws FormatError when a part is missing or does not fit; ShapeError when the shape differs
template <class Files, ShapeLike S, Backend B, Real T = float>
NF4Tensor<S, B, T> read_nf4(const Files& files, const std::string& weight, S shape, const B& device) {
  const auto state = detail::find_quant_state(files, weight);
  expects<FormatError>(state.has_value(), "tensor \"" + printable(weight) + "\": is not a 4-bit weight");
  detail::check_packed(files, weight, *state);
  const index_t count = shape.count(), blocks = ceil_div(count, state->blocksize);
  PackedParts<B> parts;
  parts.blocksize = state->blocksize, parts.book = state->book, parts.from = state->from;
  parts.codes =
      detail::vector_of_entry<std::uint8_t>(files.at(weight), static_cast<index_t>(files.at(weight).bytes), device);
  read_floats(files.at(weight + ".quant_map"), parts.values.data());
  const auto floats = [&](const char* part) {
    const TensorEntry& entry = files.at(weight + part);
    return detail::vector_of_entry<float>(entry, element_count(entry), device);
  };
  if (state->nested) {
    parts.scales =
        BlockScales<B>(detail::vector_of_entry<std::uint8_t>(files.at(weight + ".absmax"), blocks, device),
                       floats(".nested_absmax"), floats(".nested_quant_map"), state->offset, state->nested_block);
  } else {
    parts.scales = BlockScales<B>(floats(".absmax"));
  }
  return NF4Tensor<S, B, T>(shape, std::move(parts));
}

/// Returns the JSON of a 4-bit weight.
template <ShapeLike S, Backend B, Real T>
std::string quant_state_text(const NF4Tensor<S, B, T>& w) {
  Json shape = Json::array();
  for (int axis = 0; axis < S::rank; ++axis) shape.push_back(w.extent(axis));
  const PackedParts<B>& parts = w.parts();
  Json state{{"quant_type", code_book_name(parts.book)},
             {"blocksize", parts.blocksize},
             {"dtype", detail::quantized_from_names[static_cast<std::size_t>(parts.from)]},
             {"shape", shape}};
  if (parts.scales.nested()) {
    state["nested_blocksize"] = parts.scales.nested_block();
    state["nested_dtype"] = "float32";
    state["nested_offset"] = static_cast<double>(parts.scales.offset());
  }
  return dump_python(state, {.indent = -1, .sort_keys = false});
}

}  // namespace veneer
