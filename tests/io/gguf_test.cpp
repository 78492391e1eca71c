// SPDX-License-Identifier: Apache-2.0
/// \file gguf_test.cpp
/// GGUF: what is written is read again; bytes, offsets, element types; rows of q and k; what is refused, before a byte.
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/gguf/adapter.hpp"
#include "veneer/io/gguf/model.hpp"
#include "veneer/io/gguf/reader.hpp"
#include "veneer/io/safetensors.hpp"

#include "support/catch.hpp"
#include "support/message_of.hpp"
#include "support/temporary_folder.hpp"

namespace gguf_test {

using namespace veneer;
using veneer::testing::file_bytes;
using veneer::testing::message_of;
using veneer::testing::TemporaryFolder;

namespace {

namespace fs = std::filesystem;
const fs::path data = VENEER_TEST_DATA;

GgufTensor tensor_of(std::string name, GgmlType type, std::vector<std::int64_t> shape, std::vector<float> values) {
  return {std::move(name), type, std::move(shape), [type, values](const GgufSink& sink) {
            std::string bytes;
            append_ggml_row(bytes, type, values);
            sink(bytes);
          }};
}

GgufFile parse(const std::string& bytes) {
  return GgufFile::parse(std::as_bytes(std::span(bytes.data(), bytes.size())), "memory");
}

/// Floats of an F32 tensor.
std::vector<float> floats(const GgufEntry& entry) {
  std::vector<float> values(entry.data.size() / 4);
  std::memcpy(values.data(), entry.data.data(), entry.data.size());
  return values;
}

LlamaConfig small_config() {
  LlamaConfig config;
  config.vocab_size = 7, config.hidden_size = 32, config.intermediate_size = 64, config.num_hidden_layers = 2;
  config.num_attention_heads = 4, config.num_key_value_heads = 2, config.head_dim = 8;
  config.max_position_embeddings = 64;
  config.window = {0, 0};
  return config;
}

}  // namespace

TEST_CASE("gguf: a small file, byte by byte") {
  const TemporaryFolder folder;
  write_gguf(folder / "a.gguf", {{"k", std::uint32_t{7}}}, {tensor_of("t", GgmlType::f32, {1, 2}, {1.0f, 2.0f})});
  std::string expected(
      "GGUF\3\0\0\0"
      "\1\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0"
      "k"
      "\4\0\0\0"
      "\7\0\0\0",
      41);
  expected += std::string(
      "\1\0\0\0\0\0\0\0"
      "t"
      "\2\0\0\0"
      "\2\0\0\0\0\0\0\0"
      "\1\0\0\0\0\0\0\0"
      "\0\0\0\0"
      "\0\0\0\0\0\0\0\0",
      41);
  expected += std::string(96 - expected.size(), '\0');
  expected += std::string("\0\0\x80\x3f\0\0\0\x40", 8) + std::string(24, '\0');
  CHECK(file_bytes(folder / "a.gguf") == expected);
}

TEST_CASE("gguf: all kinds of values, offsets at multiples of 32") {
  const TemporaryFolder folder;
  const std::vector<GgufKey> keys{{"a.u8", std::uint8_t{200}},
                                  {"a.i8", std::int8_t{-3}},
                                  {"a.u16", std::uint16_t{65535}},
                                  {"a.i16", std::int16_t{-300}},
                                  {"a.u32", std::uint32_t{4000000000u}},
                                  {"a.i32", std::int32_t{-4}},
                                  {"a.f32", 1.5f},
                                  {"a.bool", true},
                                  {"a.text", std::string("héllo")},
                                  {"a.u64", std::uint64_t{1} << 63},
                                  {"a.i64", std::int64_t{-1}},
                                  {"a.f64", 0.1},
                                  {"a.list", std::vector<std::string>{"x", "", "yz"}},
                                  {"a.flags", std::vector<bool>{true, false}},
                                  {"a.types", std::vector<std::int32_t>{1, -2}},
                                  {"a.empty", std::vector<float>{}}};
  const std::vector<float> many(3 * 32, 0.25f);
  write_gguf(folder / "a.gguf", keys,
             {tensor_of("one", GgmlType::f32, {3}, {1, 2, 3}), tensor_of("two", GgmlType::q8_0, {3, 32}, many),
              tensor_of("three", GgmlType::bf16, {2, 3, 16}, many), tensor_of("four", GgmlType::f16, {96}, many)});
  const GgufFile file(folder / "a.gguf");
  CHECK(file.version() == 3);
  CHECK(file.keys() == keys);
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors()[1].offset == 32);
  CHECK(file.tensors()[2].offset == 32 + 128);
  CHECK(file.tensors()[2].shape == std::vector<std::int64_t>{2, 3, 16});
  CHECK(file.tensor("two")->layout.name == "Q8_0");
  CHECK(file.tensor("two")->data.size() == 3 * 34);
  CHECK(floats(*file.tensor("one")) == std::vector<float>{1, 2, 3});
  CHECK(file_bytes(folder / "a.gguf").size() % 32 == 0);
}

TEST_CASE("gguf: rows have the bytes of the reference encoder") {
  const SafetensorsFile file(data / "gguf" / "encoded.safetensors");
  const TensorEntry& rows = file.at("rows");
  std::vector<float> values(static_cast<std::size_t>(element_count(rows)));
  read_floats(rows, values.data());
  for (const auto& [name, type] :
       std::map<std::string, GgmlType>{{"Q8_0", GgmlType::q8_0}, {"F16", GgmlType::f16}, {"BF16", GgmlType::bf16}}) {
    std::string bytes;
    append_ggml_row(bytes, type, values);
    const TensorEntry& expected = file.at(name);
    INFO(name);
    CHECK(bytes == std::string(reinterpret_cast<const char*>(expected.data), expected.bytes));
  }
}

TEST_CASE("gguf: a value that a type cannot hold is refused, and no file is left") {
  const TemporaryFolder folder;
  std::string bytes;
  CHECK(message_of([&] { append_ggml_row(bytes, GgmlType::f16, std::vector<float>{70000.0f}); }).find("bf16") !=
        std::string::npos);
  CHECK_THROWS_AS(append_ggml_row(bytes, GgmlType::f32, std::vector<float>{NAN}), ArgumentError);
  CHECK_THROWS_AS(write_gguf(folder / "a.gguf", {}, {tensor_of("t", GgmlType::f16, {1}, {70000.0f})}), ArgumentError);
  CHECK(folder.count() == 0);
}

TEST_CASE("gguf: the writer refuses what llama.cpp refuses") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::vector<GgufKey>& keys, const std::vector<GgufTensor>& tensors) {
    return message_of([&] { write_gguf(folder / "a.gguf", keys, tensors); });
  };
  const auto t = [](const std::string& name) { return tensor_of(name, GgmlType::f32, {1}, {0}); };
  CHECK(refused({{"k", 1.0f}, {"k", 2.0f}}, {}).find("twice") != std::string::npos);
  CHECK(refused({{"", 1.0f}}, {}).find("not empty") != std::string::npos);
  CHECK(refused({}, {t("a"), t("a")}).find("twice") != std::string::npos);
  CHECK(refused({}, {t(std::string(64, 'x'))}).find("63") != std::string::npos);
  CHECK(refused({}, {tensor_of("q", GgmlType::q8_0, {1, 33}, {})}).find("block") != std::string::npos);
  CHECK(refused({}, {tensor_of("q", GgmlType::f32, {1, 1, 1, 1, 1}, {0})}).find("extents") != std::string::npos);
  CHECK(refused({}, {tensor_of("q", GgmlType::f32, {2}, {0})}).find("do not fit") != std::string::npos);
  CHECK(folder.count() == 0);
}

TEST_CASE("gguf: a damaged file is refused at every length and by every rule") {
  const TemporaryFolder folder;
  write_gguf(folder / "a.gguf", {{"k", std::string("v")}, {"l", std::vector<std::int32_t>{1}}},
             {tensor_of("t", GgmlType::f32, {2}, {1, 2}), tensor_of("u", GgmlType::f32, {1}, {3})});
  const std::string good = file_bytes(folder / "a.gguf");
  CHECK(parse(good).tensors().size() == 2);
  for (std::size_t size = 0; size + 28 < good.size(); ++size) CHECK_THROWS_AS(parse(good.substr(0, size)), FormatError);
  const auto changed = [&](std::size_t at, char to) {
    std::string bad = good;
    bad[at] = to;
    return message_of([&] { parse(bad); });
  };
  CHECK(changed(4, 1).find("version 1") != std::string::npos);
  CHECK(changed(15, '\x7f').find("more keys or tensors") != std::string::npos);
  CHECK(changed(23, '\x7f').find("more keys or tensors") != std::string::npos);
  CHECK(changed(31, '\x7f').find("a text of") != std::string::npos);
  CHECK(changed(33, 13).find("value type") != std::string::npos);
  const std::size_t second = good.find("u", good.find("t", 64) + 1);
  CHECK(changed(second, 't').find("twice") != std::string::npos);
  CHECK(changed(second + 1 + 4 + 8 + 4, 64).find("offset") != std::string::npos);
  CHECK(changed(second + 1 + 4 + 8, 99).find("element type") != std::string::npos);
}

TEST_CASE("gguf: reordering rows turns halves into neighbours, and is a permutation") {
  for (const std::int64_t head : {2, 8, 64}) {
    std::vector<bool> seen(static_cast<std::size_t>(3 * head));
    for (std::int64_t n = 0; n < 3; ++n) {
      for (std::int64_t d = 0; d < head / 2; ++d) {
        for (std::int64_t s = 0; s < 2; ++s) {
          const std::int64_t from = detail::rotated_row(n * head + 2 * d + s, head);
          CHECK(from == n * head + s * head / 2 + d);
          seen[static_cast<std::size_t>(from)] = true;
        }
      }
    }
    CHECK(std::count(seen.begin(), seen.end(), true) == 3 * head);
  }
}

TEST_CASE("gguf: a model's tensors are those of llama.cpp, q and k reordered for llama and not for qwen2") {
  const TemporaryFolder folder;
  for (const char* name : {"llama-f16", "qwen2-bias", "llama-gqa-llama3rope-sharded", "llama-linear-rope-biases"}) {
    INFO(name);
    const auto model = load_llama<>(data / "models" / name);
    const fs::path path = folder / name;
    write_gguf_model(model, path, {}, {GgmlType::f32, name});
    const GgufFile file(path);
    const bool llama = model.config.model_type == "llama";
    CHECK(*file.find("general.architecture") == GgufValue(model.config.model_type));
    const ShardedCheckpoint checkpoint(data / "models" / name);
    std::size_t compared = 0;
    for (const std::string& key : checkpoint.names()) {
      const std::size_t dot = key.rfind('.');
      const auto place = find_gguf_place(key.substr(0, dot));
      REQUIRE(place.has_value());
      const GgufEntry* entry = file.tensor(place->name + key.substr(dot));
      REQUIRE(entry != nullptr);
      CHECK(entry->shape == checkpoint.at(key).shape);
      std::vector<float> before(static_cast<std::size_t>(element_count(checkpoint.at(key))));
      read_floats(checkpoint.at(key), before.data());
      const std::vector<float> after = floats(*entry);
      const auto columns = entry->shape.size() == 2 ? static_cast<std::size_t>(entry->shape[1]) : std::size_t{1};
      for (std::size_t i = 0; i < after.size(); ++i) {
        const auto row = static_cast<std::int64_t>(i / columns);
        const std::int64_t from = place->rotates && llama ? detail::rotated_row(row, model.config.head_dim) : row;
        if (after[i] != before[static_cast<std::size_t>(from) * columns + i % columns]) FAIL(key << " " << i);
      }
      ++compared;
    }
    const bool divisors = model.config.rope.type == "llama3";
    CHECK(file.tensors().size() == compared + (divisors ? 1 : 0));
    if (divisors)
      CHECK(file.tensor("rope_freqs.weight")->shape == std::vector<std::int64_t>{model.config.head_dim / 2});
  }
}

TEST_CASE("gguf: matrices take the type, vectors stay F32, odd rows become F16") {
  CHECK(detail::gguf_tensor_type({64}, GgmlType::q8_0) == GgmlType::f32);
  CHECK(detail::gguf_tensor_type({7, 64}, GgmlType::q8_0) == GgmlType::q8_0);
  CHECK(detail::gguf_tensor_type({7, 33}, GgmlType::q8_0) == GgmlType::f16);
  CHECK(detail::gguf_tensor_type({7, 33}, GgmlType::bf16) == GgmlType::bf16);
}

TEST_CASE("gguf: what llama.cpp would compute otherwise in silence is refused") {
  const auto refused = [](auto change) {
    LlamaConfig config = small_config();
    change(config);
    return message_of([&] { gguf_model_keys(config, "", GgmlType::f32); });
  };
  CHECK(refused([](LlamaConfig&) {}).empty());
  CHECK(refused([](LlamaConfig& c) { c.model_type = "gemma3_text"; }).find("gemma3_text") != std::string::npos);
  CHECK(refused([](LlamaConfig& c) { c.window = {0, 16}; }).find("sliding_window 16") != std::string::npos);
  CHECK(refused([](LlamaConfig& c) { c.window = {64, 64}; }).empty());
  const auto llama3 = [](LlamaConfig& c) {
    c.rope.type = "llama3", c.rope.factor = 8, c.rope.original_max_position_embeddings = 32;
  };
  CHECK(refused(llama3).empty());
  CHECK(refused([&](LlamaConfig& c) { llama3(c), c.model_type = "qwen2"; }).find("rope_freqs") != std::string::npos);
  const auto yarn = [](LlamaConfig& c) {
    c.rope.type = "yarn", c.rope.factor = 4, c.rope.original_max_position_embeddings = 32;
  };
  CHECK(refused(yarn).empty());
  CHECK(refused([&](LlamaConfig& c) { yarn(c), c.rope.attention_factor = 1.0; }).find("attention_factor") !=
        std::string::npos);
  CHECK_THROWS_AS(detail::check_gguf_tensor("qwen2", "blk.0.attn_output.bias"), ArgumentError);
  CHECK_THROWS_AS(detail::check_gguf_tensor("llama", "blk.0.attn_q_norm.weight"), ArgumentError);
  CHECK_NOTHROW(detail::check_gguf_tensor("qwen3", "blk.0.attn_q_norm.weight"));
}

namespace {

struct Exported {
  std::string message;  // of the refusal
  std::vector<GgufKey> keys;
  std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<float>>> tensors;
  AdapterPlan plan;
};

Exported export_adapter(const std::string& name, const std::string& base, double alpha = -1) {
  const TemporaryFolder folder;
  Exported out;
  out.message = message_of([&] {
    const fs::path folder_of_base = data / "models" / base;
    AnyLlama<> model(read_llama_config(folder_of_base / "config.json").config);  // shapes are enough for a raw PiSSA
    if (name != "pissa-raw") model = load_llama<>(folder_of_base);
    LoadedAdapter loaded = load_adapter(model, data / "adapters" / name);
    if (alpha >= 0)
      for (AdaptedModule& module : loaded.plan.modules) module.alpha = alpha;
    out.plan = loaded.plan;
    write_gguf_adapter(model, folder / "a.gguf", loaded.file.config, loaded.plan);
  });
  if (!out.message.empty()) {
    CHECK(folder.count() == 0);
    return out;
  }
  const GgufFile file(folder / "a.gguf");
  out.keys = file.keys();
  for (const GgufEntry& entry : file.tensors()) out.tensors[entry.name] = {entry.shape, floats(entry)};
  return out;
}

std::string base_of(const std::string& adapter) {
  return fs::path(json_text(read_json(data / "adapters" / adapter / "expected.json"), "base", adapter))
      .filename()
      .string();
}

}  // namespace

TEST_CASE("gguf-adapter: plain LoRA keeps its matrices, rows of lora_b of q reordered") {
  const Exported out = export_adapter("lora-qv", base_of("lora-qv"));
  REQUIRE(out.message.empty());
  const SafetensorsFile file(data / "adapters" / "lora-qv" / "adapter_model.safetensors");
  const auto values = [&](const std::string& key) {
    std::vector<float> read(static_cast<std::size_t>(element_count(file.at(key))));
    read_floats(file.at(key), read.data());
    return read;
  };
  const std::string layer = "base_model.model.model.layers.0.self_attn.";
  CHECK(out.tensors.at("blk.0.attn_q.weight.lora_a").second == values(layer + "q_proj.lora_A.weight"));
  CHECK(out.tensors.at("blk.0.attn_v.weight.lora_b").second == values(layer + "v_proj.lora_B.weight"));
  const std::vector<float> q = values(layer + "q_proj.lora_B.weight");
  const auto& [shape, moved] = out.tensors.at("blk.0.attn_q.weight.lora_b");
  CHECK(shape == file.at(layer + "q_proj.lora_B.weight").shape);
  CHECK(moved != q);
  const auto model = read_llama_config(data / "models" / base_of("lora-qv") / "config.json").config;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const auto r = static_cast<std::size_t>(shape[1]);
    const auto from = static_cast<std::size_t>(detail::rotated_row(static_cast<std::int64_t>(i / r), model.head_dim));
    CHECK(moved[i] == q[from * r + i % r]);
  }
  CHECK(out.keys.back() == GgufKey{"adapter.lora.alpha", static_cast<float>(out.plan.modules.front().alpha)});
}

TEST_CASE("gguf-adapter: rsLoRA, patterns, AdaLoRA and alpha 0 go into lora_b, and alpha is left out") {
  for (const char* name : {"rslora", "rslora-patterns", "lora-all-linear-patterns", "adalora"}) {
    INFO(name);
    const Exported out = export_adapter(name, base_of(name));
    REQUIRE(out.message.empty());
    bool alpha = false;
    for (const GgufKey& key : out.keys) alpha = alpha || key.name == "adapter.lora.alpha";
    CHECK_FALSE(alpha);
    for (const AdaptedModule& module : out.plan.modules) {
      const std::string tensor = find_gguf_place(module.name)->name + ".weight";
      CHECK(out.tensors.contains(tensor + ".lora_a") == (module.rank > 0));
      if (module.rank > 0) CHECK(out.tensors.at(tensor + ".lora_b").first[1] == module.rank);
    }
  }
  const Exported none = export_adapter("lora-qv", base_of("lora-qv"), 0.0);
  REQUIRE(none.message.empty());
  CHECK(none.keys.back().name != "adapter.lora.alpha");  // llama.cpp takes an alpha of 0 for a factor of 1
}

TEST_CASE("gguf-adapter: A of an embedding is transposed") {
  const Exported out = export_adapter("lora-embedding", base_of("lora-embedding"));
  REQUIRE(out.message.empty());
  const auto& [shape, values] = out.tensors.at("token_embd.weight.lora_a");
  const SafetensorsFile file(data / "adapters" / "lora-embedding" / "adapter_model.safetensors");
  const TensorEntry& a = file.at("base_model.model.model.embed_tokens.lora_embedding_A");
  std::vector<float> before(static_cast<std::size_t>(element_count(a)));
  read_floats(a, before.data());
  REQUIRE(shape == std::vector<std::int64_t>{a.shape[1], a.shape[0]});
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto r = static_cast<std::size_t>(shape[1]), vocabulary = static_cast<std::size_t>(shape[0]);
    CHECK(values[i] == before[i % r * vocabulary + i / r]);
  }
}

TEST_CASE("gguf-adapter: what llama.cpp cannot hold is refused before a byte is written") {
  const std::vector<std::pair<std::string, std::string>> cases{{"dora", "DoRA"},
                                                               {"ia3", "IA3"},
                                                               {"vera", "VeRA"},
                                                               {"lora-b-bias", "lora_bias"},
                                                               {"lora-bias-all", "bias"},
                                                               {"lora-bias-lora-only", "bias"},
                                                               {"lora-modules-to-save", "modules_to_save"},
                                                               {"lora-norms-to-save", "trained in full"},
                                                               {"lora-embedding-tied", "tied"},
                                                               {"lora-tied-lm-head", "tied"},
                                                               {"lora-trainable-tokens", "trainable_token_indices"},
                                                               {"tokens-tied", "trainable_token_indices"},
                                                               {"pissa-raw", "changed the base"}};
  for (const auto& [name, word] : cases) {
    INFO(name);
    const Exported out = export_adapter(name, base_of(name));
    INFO(out.message);
    CHECK(out.message.find(word) != std::string::npos);
  }
  AdapterConfig config;
  config.fan_in_fan_out = true;
  CHECK_THROWS_AS(detail::check_gguf_adapter(small_config(), config, {}), ArgumentError);
}

TEST_CASE("gguf: a merged model rounds w + s B A once, and an adapted tied head gets a tensor of its own") {
  const TemporaryFolder folder;
  for (const char* name : {"lora-embedding-tied", "dora", "lora-qv"}) {
    INFO(name);
    auto model = load_llama<>(data / "models" / base_of(name));
    load_adapter(model, data / "adapters" / name);
    const bool tied = model.config.tie_word_embeddings;
    write_gguf_model(model, folder / name, {}, {GgmlType::f32, ""});
    const GgufFile file(folder / name);
    const bool embedding = std::string(name) == "lora-embedding-tied";
    CHECK((file.tensor("output.weight") != nullptr) == (!tied || embedding));
    if (embedding) CHECK(floats(*file.tensor("output.weight")) != floats(*file.tensor("token_embd.weight")));
    const auto site = find_site(sites(model), "model.layers.0.self_attn.v_proj");
    const auto merged = detail::merged_values(*site, detail::bias_values(site->bias()), MergeOptions{}).weight;
    const auto expected = to_host(site->adapted() ? merged : site->weight().dense_copy());
    CHECK(floats(*file.tensor("blk.0.attn_v.weight")) == expected);
  }
}

}  // namespace gguf_test
