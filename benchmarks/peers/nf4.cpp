// SPDX-License-Identifier: Apache-2.0
/// \file nf4.cpp
/// The program used by nf4.py and scripts/compare_with_bitsandbytes.
///
///   peer_nf4 quantise IN OUT BLOCKSIZE   OUT: codes and maxima of the tensors of IN, <name>.decoded in their own type
///   peer_nf4 decode IN OUT               the 4-bit weights of a checkpoint IN, as float32
///   peer_nf4 time ROWS COLUMNS THREADS   answers lines such as "quantise float32", "dequantise bfloat16" with seconds
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "veneer/io/llama_checkpoint.hpp"

namespace {

using namespace veneer;
using Flat = Shape<dyn>;

template <Stored T>
void quantise_one(const TensorEntry& entry, index_t blocksize, std::vector<detail::HostTensor>& out) {
  const auto w = detail::read_stored<T>(entry, Flat(element_count(entry)), Cpu{});
  const NF4Tensor packed(w, {.blocksize = blocksize});
  detail::append_tensors(out, entry.name, packed);
  out.push_back(detail::host_tensor(entry.name + ".decoded", decode_as<T>(packed)));
}

int quantise(const std::string& in, const std::string& to, index_t blocksize) {
  const SafetensorsFile file(in);
  std::vector<detail::HostTensor> tensors;
  for (const std::string& name : file.names()) {
    const TensorEntry& entry = file.at(name);
    if (entry.dtype == Dtype::f32) quantise_one<float>(entry, blocksize, tensors);
    if (entry.dtype == Dtype::f16) quantise_one<half>(entry, blocksize, tensors);
    if (entry.dtype == Dtype::bf16) quantise_one<bfloat16>(entry, blocksize, tensors);
  }
  write_safetensors(to, detail::views(tensors));
  return 0;
}

int decode_all(const std::string& in, const std::string& to) {
  const SafetensorsFile file(in);
  std::vector<detail::HostTensor> tensors;
  for (const std::string& name : file.names()) {
    const auto state = detail::find_quant_state(file, name);
    if (!state) continue;
    expects<FormatError>(state->shape.size() == 2, name + ": expected a matrix");
    const Shape<dyn, dyn> shape(state->shape[0], state->shape[1]);
    tensors.push_back(detail::host_tensor(name, decode_as<float>(read_nf4(file, name, shape, Cpu{}))));
  }
  write_safetensors(to, detail::views(tensors));
  return 0;
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <Stored T>
struct Timed {
  Matrix<T, Cpu> w;
  NF4Tensor<Shape<dyn, dyn>, Cpu> packed;

  explicit Timed(const Matrix<float, Cpu>& dense) : w(convert<T>(dense)), packed(w) {}

  double run(const std::string& what) const {
    const double begin = seconds();
    if (what == "quantise") {
      const NF4Tensor fresh(w);
      return seconds() - begin;
    }
    const auto fresh = decode_as<T>(packed);
    return seconds() - begin;
  }
};

int time_lines(index_t rows, index_t columns, int threads) {
  Cpu::set_threads(threads);
  const auto dense = normal<float, Cpu>(Shape<dyn, dyn>(rows, columns), RandomStream{7, 1}, 0.02);
  const Timed<float> single(dense);
  const Timed<bfloat16> brain(dense);
  for (std::string what, dtype; std::cin >> what >> dtype;) {
    std::printf("%.9f\n", dtype == "bfloat16" ? brain.run(what) : single.run(what));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 4 && words[0] == "quantise") return quantise(words[1], words[2], std::stoll(words[3]));
    if (words.size() == 3 && words[0] == "decode") return decode_all(words[1], words[2]);
    if (words.size() == 4 && words[0] == "time")
      return time_lines(std::stoll(words[1]), std::stoll(words[2]), std::stoi(words[3]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  std::fprintf(stderr, "peer_nf4 quantise IN OUT BLOCKSIZE | decode IN OUT | time ROWS COLUMNS THREADS\n");
  return 2;
}
