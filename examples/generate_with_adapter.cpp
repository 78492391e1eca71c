// SPDX-License-Identifier: Apache-2.0
/// \file generate_with_adapter.cpp
/// generate_with_adapter MODEL_DIR ADAPTER_DIR PROMPT: loads a model and an adapter and prints the continuation of the
/// prompt while it is generated.
#include <cstdio>
#include <exception>
#include <iostream>

#include "veneer/io/adapter_folder.hpp"
#include "veneer/nn/generate.hpp"
#include "veneer/text/stream_decoder.hpp"
#include "veneer/text/tokenizer.hpp"

using namespace veneer;

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: generate_with_adapter MODEL_DIR ADAPTER_DIR PROMPT\n"), 2;
  try {
    auto model = load_llama(argv[1]);
    load_adapter(model, argv[2]);
    const Tokenizer tokenizer = Tokenizer::from_folder(argv[1]);
    StreamDecoder decoder(tokenizer, true);
    GenerateOptions options{.max_new_tokens = 64};
    for (const index_t id : model.config.eos_token_ids) options.stop.push_back(static_cast<std::int32_t>(id));
    options.on_token = [&](std::size_t, std::int32_t id) {
      std::cout << decoder.push(id) << std::flush;
      return true;
    };
    generate(model, {tokenizer.encode(argv[3])}, options);
    std::cout << decoder.flush() << '\n';
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "generate_with_adapter: %s\n", error.what()), 1;
  }
}
