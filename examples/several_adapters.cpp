// SPDX-License-Identifier: Apache-2.0
/// \file several_adapters.cpp
/// several_adapters MODEL_DIR ADAPTER_DIR ADAPTER_DIR PROMPT: prints the continuation of a prompt with either adapter,
/// with none and with the sum of both; all except the sum in one batch.
#include <cstdio>
#include <exception>
#include <iostream>

#include "veneer/io/named_adapters.hpp"
#include "veneer/nn/generate.hpp"
#include "veneer/text/tokenizer.hpp"

using namespace veneer;

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "usage: several_adapters MODEL_DIR ADAPTER_DIR ADAPTER_DIR PROMPT\n"), 2;
  try {
    NamedAdapters adapters(load_llama(argv[1]));
    load_adapter(adapters, "first", argv[2]);
    load_adapter(adapters, "second", argv[3]);
    const Tokenizer tokenizer = Tokenizer::from_folder(argv[1]);
    const std::vector<std::int32_t> prompt = tokenizer.encode(argv[4]);
    GenerateOptions options{.max_new_tokens = 64};
    for (const index_t id : adapters.base().config.eos_token_ids) options.stop.push_back(static_cast<std::int32_t>(id));

    const std::vector<std::string> names{"first", "__base__", "second"};
    const auto texts = generate(adapters.mixed(names), {prompt, prompt, prompt}, options);
    for (std::size_t i = 0; i < names.size(); ++i) std::cout << names[i] << ": " << tokenizer.decode(texts[i]) << '\n';
    const auto both = generate(adapters.sum({"first", "second"}), {prompt}, options);
    std::cout << "first + second: " << tokenizer.decode(both.front()) << '\n';
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "several_adapters: %s\n", error.what()), 1;
  }
}
