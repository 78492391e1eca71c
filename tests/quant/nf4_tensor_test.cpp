// SPDX-License-Identifier: Apache-2.0
#include "veneer/quant/nf4_tensor.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace nf4_tensor_test {

using namespace veneer;

namespace {

template <Backend B>
using Packed = NF4Tensor<Shape<dyn, dyn>, B>;

// Frozen by its type; the type of a product knows what its operands know.
static_assert(FrozenWeight<NF4Tensor<Shape<7, 4>, Cpu>> && !Differentiable<NF4Tensor<Shape<7, 4>, Cpu>>);
static_assert(!ValueLike<NF4Tensor<Shape<7, 4>, Cpu>>);
static_assert(std::is_same_v<decltype(linear(std::declval<Tensor<float, Shape<dyn, 4>, Cpu>>(),
                                             std::declval<NF4Tensor<Shape<7, 4>, Cpu>>())),
                             Tensor<float, Shape<dyn, 7>, Cpu>>);
static_assert(ops::ReadsOperands<Cpu>);

constexpr index_t shapes[][2] = {{1, 1}, {3, 40}, {5, 100}, {7, 33}, {64, 176}, {130, 96}, {300, 64}, {33, 129}};

/// A weight that is quantised, and the same values dense.
template <Real T, Backend B>
struct Twins {
  NF4Tensor<Shape<dyn, dyn>, B, T> packed;
  Matrix<T, B> dense;
  Twins(index_t out, index_t in, NF4Options options = {})
      : packed(testing::random_matrix<float, B>(out, in, 2), options), dense(decode(packed)) {}
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("what was decoded is quantised to the same codes again", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const auto& [rows, columns] : shapes) {
    for (const index_t blocksize : {32, 64, 256, 4096}) {
      CAPTURE(rows, columns, blocksize);
      const auto w = testing::random_matrix<float, TestType>(rows, columns, 1);
      const Packed<TestType> once(w, {.blocksize = blocksize}), twice(decode(once), {.blocksize = blocksize});
      CHECK(to_host(once.parts().codes) == to_host(twice.parts().codes));
      CHECK(testing::same_bits(decode(once), decode(twice)));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a value moves by no more than half the widest gap of its block", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(33, 129, 1);
  const Packed<TestType> packed(w);
  const std::vector<float> x = to_host(w), y = to_host(decode(packed)), scale = to_host(packed.parts().scales.absmax());
  const float gap = nf4_values[1] - nf4_values[0];
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO(i);
    CHECK(std::abs(x[i] - y[i]) <= 0.5001f * gap * scale[i / 64]);
    CHECK(std::abs(y[i]) <= scale[i / 64]);
  }
}

TEMPLATE_LIST_TEST_CASE("normal weights lose what the paper's format loses, and little more by double quantisation", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(512, 512, 3);
  const auto loss = [&](const NF4Options& options) {
    const std::vector<float> x = to_host(w), y = to_host(decode(Packed<TestType>(w, options)));
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i)
      sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
    return std::sqrt(sum / static_cast<double>(x.size()));
  };
  CHECK(loss({}) == Approx(0.0915).epsilon(0.02));  // of a standard normal, blocks of 64
  CHECK(loss({.double_quant = true}) == Approx(loss({})).epsilon(0.01));
  CHECK(loss({.blocksize = 32}) < loss({}));
  CHECK(loss({}) < loss({.blocksize = 4096}));
}

TEMPLATE_LIST_TEST_CASE("values in 16 bits are the float ones, rounded", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const bool nested : {false, true}) {
    const Twins<float, TestType> w(33, 129, {.double_quant = nested});
    CHECK(testing::same_bits(decode_as<bfloat16>(w.packed), convert<bfloat16>(w.dense)));
    CHECK(testing::same_bits(decode_as<veneer::half>(w.packed), convert<veneer::half>(w.dense)));
    CHECK(testing::same_bits(decode_as<double>(w.packed), convert<double>(w.dense)));
  }
}

TEST_CASE("any run of the values can be decoded alone, to float and to bfloat16") {
  for (const bool nested : {false, true}) {
    for (const index_t blocksize : {32, 64, 256}) {
      const Twins<float, Cpu> w(33, 65, {.blocksize = blocksize, .double_quant = nested});
      const std::vector<float> all = to_host(w.dense);
      const std::vector<bfloat16> brief = to_host(decode_as<bfloat16>(w.packed));
      const Operand stored = operand(w.packed, false);
      for (const index_t first : {0, 1, 31, 32, 33, 63, 64, 700, 2144}) {
        for (const index_t count : {0, 1, 2, 31, 32, 33, 64, 100, 1100}) {
          if (first + count > w.packed.count()) continue;
          std::vector<float> wide(static_cast<std::size_t>(count));
          std::vector<bfloat16> narrow(static_cast<std::size_t>(count));
          stored.decoder->to_float(stored.data, first, count, wide.data());
          stored.decoder->to_bfloat16(stored.data, first, count, narrow.data());
          CAPTURE(nested, blocksize, first, count);
          CHECK(std::equal(wide.begin(), wide.end(), all.begin() + first));
          CHECK(std::equal(narrow.begin(), narrow.end(), brief.begin() + first,
                           [](bfloat16 x, bfloat16 y) { return x.bits == y.bits; }));
        }
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("products with a 4-bit weight are those with its dense values, forward and back", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t tokens : {1, 5, 70, 200}) {
    for (const auto& [out, in] : shapes) {
      CAPTURE(tokens, out, in);
      const Twins<float, TestType> w(out, in);
      const auto x0 = testing::random_matrix<float, TestType>(tokens, in, 5);
      Parameter a(testing::random_matrix<float, TestType>(3, in, 6)),
          b(testing::random_matrix<float, TestType>(out, 3, 7));
      const auto run = [&](const auto& weight) {
        a.clear_gradient(), b.clear_gradient();
        Tape tape;
        const auto x = tape.variable(x0);
        const auto y = low_rank_linear(x, weight, a, b, 0.5), z = linear(x, weight);
        backward(dot(add(y, z), y.value()));
        return std::vector<Matrix<float, TestType>>{y.value(), z.value(), x.gradient(), a.gradient(), b.gradient()};
      };
      const auto found = run(w.packed), expected = run(w.dense);
      const bool few = tokens <= 16;  // then codes may be multiplied before their scale
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (few) {
          CHECK(testing::largest_difference(found[i], expected[i]) <= 1e-6 * testing::largest(expected[i]));
        } else {
          CHECK(testing::same_bits(found[i], expected[i]));
        }
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("gradients over a 4-bit weight agree with differences in double", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const bool nested : {false, true}) {
    const Twins<double, TestType> w(9, 23, {.blocksize = 32, .double_quant = nested});
    const auto c = testing::random_matrix<double, TestType>(4, 9, 8);
    const auto f = [&](Tape&, const auto& x, const auto& a, const auto& b) {
      return dot(add(low_rank_linear(x, w.packed, a, b, 0.7), linear(x, w.packed)), c);
    };
    CHECK(gradient_error(f, testing::random_matrix<double, TestType>(4, 23, 5),
                         testing::random_matrix<double, TestType>(3, 23, 6),
                         testing::random_matrix<double, TestType>(9, 3, 7)) <= 1e-6);
  }
}

TEST_CASE("neither the tape nor a product holds the dense weight") {
  constexpr index_t out = 2048, in = 1024;
  cpu::Memory& memory = cpu::Memory::instance();
  const NF4Tensor<Shape<out, in>, Cpu> w(testing::random_matrix<float, Cpu>(out, in, 1));
  Parameter a(testing::random_matrix<float, Cpu>(2, in, 2)), b(testing::random_matrix<float, Cpu>(out, 2, 3));
  const int threads = Cpu::threads();
  Cpu::set_threads(1);
  const std::size_t before = memory.use().used;
  memory.reset_peak();
  {
    Tape tape;
    const auto x = tape.variable(testing::random_matrix<float, Cpu>(4, in, 4));
    const auto loss = dot(low_rank_linear(x, w, a, b, 1.0), testing::random_matrix<float, Cpu>(4, out, 5));
    CHECK(memory.use().used - before < out * in / 8);
    backward(loss);
    CHECK(x.gradient());
  }
  Cpu::set_threads(threads);
  CHECK(memory.use().peak - before < out * in * sizeof(float) / 8);
}

TEST_CASE("products with a 4-bit weight have the same bits at any number of threads") {
  const Twins<float, Cpu> w(300, 500);
  const auto x = testing::random_matrix<float, Cpu>(90, 500, 5);
  const int threads = Cpu::threads();
  Cpu::set_threads(1);
  const auto one = linear(x, w.packed);
  Cpu::set_threads(5);
  CHECK(testing::same_bits(linear(x, w.packed), one));
  Cpu::set_threads(threads);
}

TEMPLATE_LIST_TEST_CASE("rows of a 4-bit table are rows of its dense values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Twins<float, TestType> table(50, 33);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{0, 49, 7, 7});
  CHECK(testing::same_bits(embedding(ids, table.packed), embedding(ids, table.dense)));
  Tape tape;
  CHECK_FALSE(embedding(tape.input(ids), table.packed).wanted());
}

TEMPLATE_LIST_TEST_CASE("4 bits a weight, and a half or an eighth for the scales", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(256, 1024, 1);
  CHECK(Packed<TestType>(w).bytes() * 8 == w.count() * 9 / 2);
  CHECK(static_cast<double>(Packed<TestType>(w, {.double_quant = true}).bytes() * 8) / static_cast<double>(w.count()) ==
        Approx(4.127).epsilon(1e-3));
}

TEMPLATE_LIST_TEST_CASE("what does not fit is refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(8, 64, 1);
  for (const index_t blocksize : {0, -64, 16, 48, 8192}) {
    CHECK_THROWS_AS(Packed<TestType>(w, {.blocksize = blocksize}), ArgumentError);
  }
  const Packed<TestType> good(w);
  CHECK_THROWS_AS(Packed<TestType>(Shape<dyn, dyn>(8, 65), good.parts()), ShapeError);
  PackedParts<TestType> parts = good.parts();
  parts.blocksize = 128;
  CHECK_THROWS_AS(Packed<TestType>(good.shape(), parts), ShapeError);
  CHECK_THROWS_AS((NF4Tensor<Shape<8, 65>, TestType>(good)), ShapeError);
  CHECK_THROWS_AS(linear(testing::random_matrix<float, TestType>(2, 63, 1), good), ShapeError);
  CHECK_FALSE(Packed<TestType>());
}

}  // namespace nf4_tensor_test
