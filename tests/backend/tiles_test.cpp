// SPDX-License-Identifier: Apache-2.0
#include "veneer/backend/cpu/amx/tiles.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/kernels.hpp"
#include "support/products.hpp"

namespace tiles_test {

using namespace veneer;
using testing::Form;
using testing::StoredMatrix;
using testing::SumOfProducts;

namespace {

namespace plain {
using namespace veneer::cpu;
using cpu::amx::block_columns;
using cpu::amx::block_rows;
using cpu::amx::chunk;
#include "veneer/backend/cpu/amx/tile_block.inl"
}  // namespace plain

/// Returns the generic kernels with the block of AMX over tiles in memory.
const cpu::Kernels& plain_tiles() {
  static const cpu::Kernels table = [] {
    cpu::Kernels k = cpu::generic::table;
    k.name = "plain tiles";
    k.bfloat16_pairs = {cpu::amx::block_rows,
                        cpu::amx::block_columns,
                        cpu::amx::chunk,
                        2,
                        cpu::amx::depth,
                        cpu::amx::chunk,
                        0,
                        plain::tile_block<cpu::amx::PlainTiles>,
                        nullptr,
                        nullptr,
                        true,
                        16};
    return k;
  }();
  return table;
}

/// Returns the table of AMX, or null if the processor lacks it.
const cpu::Kernels* hardware_tiles() {
  for (const cpu::InstructionSet& set : cpu::instruction_sets()) {
    if (set.usable && set.kernels->name == std::string("amx")) return set.kernels;
  }
  return nullptr;
}

StoredMatrix result_of(const cpu::Kernels& kernels, const SumOfProducts& problem) {
  const testing::KernelsRestored restored;
  cpu::use_kernels(kernels);
  StoredMatrix found = problem.c;
  cpu::matmul(problem.into(found));
  found.refresh();
  return found;
}

}  // namespace

TEST_CASE("products by tiles are the sum of their terms, at every tail") {
  constexpr Storage stored[] = {Storage::float32, Storage::bfloat16, Storage::coded, Storage::float16};
  for (index_t i = 0; i < 600; ++i) {
    const testing::Mix mix{Storage::bfloat16, stored[i % 2], stored[i / 2 % 4], stored[i / 3 % 2]};
    const bool transpose_a = i / 8 % 2 == 1, transpose_b = i / 16 % 2 == 1;
    SumOfProducts problem(mix, {transpose_a, transpose_b, 1 + i * 7 % 70, 1 + i * 11 % 70, 1 + i * 13 % 300,
                                i % 3 == 0 ? 0.75 : 1.0, i % 5 < 2 ? -0.5 : 0.0, i % 3});
    if (i % 4 == 0) problem.add(transpose_a, !transpose_b, 1 + i % 40, i % 8 == 0 ? 1.0 : -1.5);
    const StoredMatrix found = result_of(plain_tiles(), problem);
    CAPTURE(i, text_of(mix), transpose_a, transpose_b);
    CHECK(problem.error(found, problem.reference(Storage::bfloat16), Storage::bfloat16) <= 1.0);
    CHECK(found.same_gaps(problem.c));
  }
}

TEST_CASE("tiles in hardware add up what tiles in memory do") {
  const cpu::Kernels* hardware = hardware_tiles();
  if (hardware == nullptr) {
    WARN("not tested: this processor lacks AMX");
    SUCCEED("nothing to compare");
    return;
  }
  // Small integers: all sums are exact, whatever their order.
  for (const Form& form : {Form{false, true, 70, 45, 300}, Form{true, false, 33, 32, 32}, Form{true, true, 31, 17, 1},
                           Form{false, false, 600, 300, 65}}) {
    for (const double scale : {1.0, 0.5}) {
      Form scaled = form;
      scaled.scale = scale, scaled.beta = 1.0;
      SumOfProducts problem({Storage::bfloat16, Storage::bfloat16, Storage::bfloat16, Storage::float32}, scaled);
      for (StoredMatrix* x : {&problem.a(), &problem.b(), &problem.c}) {
        for (index_t i = 0; i < x->rows(); ++i) {
          for (index_t j = 0; j < x->columns(); ++j) x->set(i, j, std::nearbyint(4.0 * x->at(i, j)));
        }
      }
      CAPTURE(form.m, form.n, form.k, scale);
      CHECK(result_of(*hardware, problem).same_bits(result_of(plain_tiles(), problem)));
    }
  }
}

namespace {

using cpu::amx::PlainTiles;

/// Checks one product of tiles, computed by the three loops of the manual.
void expect_tile(const std::vector<float>& a, const std::vector<float>& b, std::vector<float>& c) {
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 16; ++j) {
      for (std::size_t p = 0; p < 32; ++p) c[16 * i + j] += a[32 * i + p] * b[32 * (p / 2) + 2 * j + p % 2];
    }
  }
}

}  // namespace

TEST_CASE("a tile of pairs is multiplied as TDPBF16PS is defined") {
  std::vector<bfloat16> a(512), b(512);
  std::vector<float> wide_a(512), wide_b(512), c(256), expected(256);
  for (std::size_t i = 0; i < 512; ++i) {
    a[i] = bfloat16(static_cast<float>(i * 7 % 13) - 6.0f), b[i] = bfloat16(static_cast<float>(i * 5 % 11) - 5.0f);
    wide_a[i] = static_cast<float>(a[i]), wide_b[i] = static_cast<float>(b[i]);
  }
  for (std::size_t i = 0; i < 256; ++i) c[i] = expected[i] = static_cast<float>(i);
  PlainTiles::load<3>(c.data(), 64);
  PlainTiles::load<4>(a.data(), 64);
  PlainTiles::load<6>(b.data(), 64);
  PlainTiles::multiply<3, 4, 6>();
  PlainTiles::store<3>(c.data(), 64);
  expect_tile(wide_a, wide_b, expected);
  CHECK(c == expected);
  PlainTiles::zero<3>();
  PlainTiles::store<3>(c.data(), 64);
  CHECK(c == std::vector<float>(256));
}

}  // namespace tiles_test
