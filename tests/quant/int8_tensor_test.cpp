// SPDX-License-Identifier: Apache-2.0
#include "veneer/quant/int8_tensor.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/ops/low_rank_norm.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace int8_tensor_test {

using namespace veneer;

namespace {

template <Backend B>
using Coded = Int8Tensor<Shape<dyn, dyn>, B>;

static_assert(FrozenWeight<Int8Tensor<Shape<7, 4>, Cpu>> && !Differentiable<Int8Tensor<Shape<7, 4>, Cpu>>);
static_assert(QuantizedTensorLike<Int8Tensor<Shape<7, 4>, Cpu>>);

/// A weight that is quantised, and the same values dense.
template <Real T, Backend B>
struct Twins {
  Int8Tensor<Shape<dyn, dyn>, B, T> coded;
  Matrix<T, B> dense;
  Twins(index_t out, index_t in, Int8Options options = {})
      : coded(testing::random_matrix<float, B>(out, in, 2), options), dense(decode(coded)) {}
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a value of an 8-bit weight is the nearest multiple of its block's maximum in the map", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const std::array<float, 256> map = dynamic_map();
  for (const index_t blocksize : {64, 256, 4096}) {
    const auto w = testing::random_matrix<float, TestType>(33, 129, 1);
    const Coded<TestType> coded(w, {.blocksize = blocksize});
    const std::vector<float> x = to_host(w), y = to_host(decode(coded)), absmax = to_host(coded.parts().absmax);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto scale = static_cast<double>(absmax[i / static_cast<std::size_t>(blocksize)]);
      double nearest = 2.0 * scale;
      for (const float value : map)
        nearest = std::min(nearest, std::abs(static_cast<double>(value) * scale - static_cast<double>(x[i])));
      INFO(blocksize << " " << i);
      CHECK(std::abs(static_cast<double>(y[i]) - static_cast<double>(x[i])) <= nearest + 1e-6 * scale);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("values of an 8-bit weight in other types are the float ones, rounded", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Twins<float, TestType> w(33, 129);
  CHECK(testing::same_bits(decode_as<bfloat16>(w.coded), convert<bfloat16>(w.dense)));
  CHECK(testing::same_bits(decode_as<veneer::half>(w.coded), convert<veneer::half>(w.dense)));
  CHECK(testing::same_bits(decode_as<double>(w.coded), convert<double>(w.dense)));
}

TEST_CASE("any run of an 8-bit weight can be decoded alone, to float and to bfloat16") {
  const Twins<float, Cpu> w(33, 65);
  const std::vector<float> all = to_host(w.dense);
  const std::vector<bfloat16> brief = to_host(decode_as<bfloat16>(w.coded));
  const Operand stored = operand(w.coded, false);
  for (const index_t first : {0, 1, 63, 64, 65, 700, 2144}) {
    for (const index_t count : {0, 1, 63, 64, 65, 1100}) {
      if (first + count > w.coded.count()) continue;
      std::vector<float> wide(static_cast<std::size_t>(count));
      std::vector<bfloat16> narrow(static_cast<std::size_t>(count));
      stored.decoder->to_float(stored.data, first, count, wide.data());
      stored.decoder->to_bfloat16(stored.data, first, count, narrow.data());
      CAPTURE(first, count);
      CHECK(std::equal(wide.begin(), wide.end(), all.begin() + first));
      CHECK(std::equal(narrow.begin(), narrow.end(), brief.begin() + first,
                       [](bfloat16 x, bfloat16 y) { return x.bits == y.bits; }));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("products with an 8-bit weight are those with its dense values, forward and back", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t tokens : {1, 5, 70, 200}) {
    for (const auto& [out, in] : {std::pair<index_t, index_t>{1, 1}, {7, 33}, {64, 176}, {300, 64}, {33, 129}}) {
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
      const auto found = run(w.coded), expected = run(w.dense);
      for (std::size_t i = 0; i < found.size(); ++i) CHECK(testing::same_bits(found[i], expected[i]));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("gradients over an 8-bit weight agree with differences in double", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Twins<double, TestType> w(9, 23);
  const auto c = testing::random_matrix<double, TestType>(4, 9, 8);
  const auto f = [&](Tape&, const auto& x, const auto& a, const auto& b) {
    return dot(add(low_rank_linear(x, w.coded, a, b, 0.7), linear(x, w.coded)), c);
  };
  CHECK(gradient_error(f, testing::random_matrix<double, TestType>(4, 23, 5),
                       testing::random_matrix<double, TestType>(3, 23, 6),
                       testing::random_matrix<double, TestType>(9, 3, 7)) <= 1e-6);
}

TEMPLATE_LIST_TEST_CASE("norms and rows of an 8-bit weight are those of its dense values", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Twins<float, TestType> w(50, 33);
  const auto a = testing::random_matrix<float, TestType>(3, 33, 6),
             b = testing::random_matrix<float, TestType>(50, 3, 7);
  CHECK(testing::same_bits(low_rank_norms<false>(w.coded, ops::squared_norms<false>(w.coded), a, b, 0.5),
                           low_rank_norms<false>(w.dense, ops::squared_norms<false>(w.dense), a, b, 0.5)));
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{0, 49, 7, 7});
  CHECK(testing::same_bits(embedding(ids, w.coded), embedding(ids, w.dense)));
  const auto without_gradients = testing::vector_of<TestType>(std::vector<std::int32_t>{~0, 49, ~7, 7});
  CHECK(testing::same_bits(embedding(without_gradients, w.coded), embedding(ids, w.dense)));
}

TEMPLATE_LIST_TEST_CASE("8 bits a weight, and a half for the scales", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Coded<TestType> w(testing::random_matrix<float, TestType>(256, 1024, 1));
  CHECK((w.bytes() - 1024) * 16 == w.count() * 17);
  CHECK(w.finite());
  CHECK(Coded<TestType>::uninitialized(w.shape(), w.options(), w.device()).bytes() == w.bytes());
}

TEMPLATE_LIST_TEST_CASE("an 8-bit weight that does not fit is refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(8, 64, 1);
  for (const index_t blocksize : {0, -64, 32, 96, 8192}) {
    CHECK_THROWS_AS(Coded<TestType>(w, {.blocksize = blocksize}), ArgumentError);
  }
  const Coded<TestType> good(w);
  CHECK_THROWS_AS(Coded<TestType>(Shape<dyn, dyn>(8, 65), good.parts()), ShapeError);
  Int8Parts<TestType> parts = good.parts();
  parts.blocksize = 128;
  CHECK_THROWS_AS(Coded<TestType>(good.shape(), parts), ShapeError);
  CHECK_THROWS_AS((Int8Tensor<Shape<8, 65>, TestType>(good)), ShapeError);
  CHECK_FALSE(Coded<TestType>());
}

}  // namespace int8_tensor_test
