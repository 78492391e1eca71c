// SPDX-License-Identifier: Apache-2.0
/// \file decode.cpp
/// decode MODEL_DIR THREADS TOKENS float32|bfloat16|nf4: generates TOKENS tokens for each line on stdin, for decode.py.
///
/// nf4: the linear layers in 4 bits, activations and head in bfloat16. The first output line is the number of bytes of
/// weights read per token; then for each input line:
///   milliseconds  of the median token, without the first one
///   gigabytes per second  memory bandwidth of the same threads, measured directly afterwards
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"
#include "veneer/nn/generate.hpp"

namespace {

using namespace veneer;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Reads the bytes of one token with all threads, and takes the best of three times.
class ReadSpeed {
 public:
  explicit ReadSpeed(index_t bytes) : pieces_(bytes / 8 / piece), values_(cpu::allocate<float>(2 * piece * pieces_)) {
    std::fill_n(words(), piece * pieces_, 1);
  }
  double gigabytes_per_second() {
    double best = 0.0;
    for (int i = 0; i < 3; ++i) {
      const auto start = Clock::now();
      cpu::Pool::instance().run(pieces_, [&](index_t task) { read(task); });
      best = std::max(best, static_cast<double>(pieces_ * piece * 8) / milliseconds_since(start) / 1e6);
    }
    return best;
  }

 private:
  static constexpr index_t piece = index_t{1} << 15;

  std::uint64_t* words() const { return reinterpret_cast<std::uint64_t*>(values_.get()); }
  void read(index_t task) const {
    const std::uint64_t* from = words() + task * piece;
    std::uint64_t sum[32] = {};
    for (index_t j = 0; j < piece; j += 32) {
      for (index_t lane = 0; lane < 32; ++lane) sum[lane] += from[j + lane];
    }
    std::uint64_t all = 0;
    for (const std::uint64_t lane : sum) all += lane;
    expects(all == static_cast<std::uint64_t>(piece), "decode: the values read are not those written");
  }

  index_t pieces_;
  std::shared_ptr<float> values_;
};

index_t bytes_of_file(const std::filesystem::path& folder, bool four_bits) {
  index_t bytes = 0;
  const ShardedCheckpoint checkpoint(folder);
  for (const std::string& name : checkpoint.names()) {
    const TensorEntry& entry = checkpoint.at(name);
    const bool layer = entry.shape.size() == 2 && name.find("embed") == std::string::npos;
    const auto stored = static_cast<index_t>(entry.bytes);
    bytes += four_bits && layer ? stored / 2 * 9 / 16 : stored;
  }
  return bytes;
}

int run(const std::filesystem::path& folder, int threads, index_t tokens, const std::string& storage) {
  Cpu::set_threads(threads);
  AnyLlama<> model(read_llama_config(folder / "config.json").config);
  const bool four_bits = storage == "nf4";
  model.activations = activation_storage(four_bits ? "bfloat16" : storage, model.config);
  LoadLlamaOptions options;
  if (four_bits) options.quantise = NF4Options{};
  read_llama_weights(model, ShardedCheckpoint(folder), options);
  const index_t bytes = bytes_of_file(folder, four_bits);
  std::cout << bytes << std::endl;

  ReadSpeed reading(bytes);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::vector<double> times;
    GenerateOptions generating{.max_new_tokens = tokens};
    auto start = Clock::now();
    generating.on_token = [&](std::size_t, std::int32_t) {
      times.push_back(milliseconds_since(start));
      start = Clock::now();
      return true;
    };
    generate(model, {{1, 2, 3, 4, 5, 6, 7, 8}}, generating);
    times.erase(times.begin());
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    std::cout << times[times.size() / 2] << ' ' << reading.gigabytes_per_second() << std::endl;
  }
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: decode MODEL_DIR THREADS TOKENS float32|bfloat16|nf4\n";
    return 2;
  }
  try {
    return run(argv[1], std::atoi(argv[2]), std::atol(argv[3]), argv[4]);
  } catch (const std::exception& error) {
    std::cerr << "decode: " << error.what() << "\n";
    return EXIT_FAILURE;
  }
}
