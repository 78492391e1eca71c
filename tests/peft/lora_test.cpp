// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/lora.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace lora_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5;
constexpr Shape<dyn, dyn> weight_shape(out, in);

/// An adapter that was trained: both factors are random.
template <index_t Rank, Real T, Backend B>
LowRankAdapter<B, Rank, T> trained(LowRankOptions options, index_t rank) {
  LowRankAdapter<B, Rank, T> adapter(weight_shape, options, {1, 1}, rank);
  adapter.up = Parameter(testing::random<T, B>(shape_of<Shape<dyn, Rank>>(out, rank), 2, 0.3));
  return adapter;
}

/// The distance of linear(x, merged) from the adapter, relative to the rounding that sums of this length may have.
template <class A, class W, class X>
double merge_error(const A& adapter, const W& w, const X& x) {
  using T = typename X::scalar;
  const auto apart = adapter(w, NoBias{}, x), together = linear(x, adapter.merged(w, NoBias{}).weight);
  const double bound = static_cast<double>(in + adapter.rank() + 2) * std::numeric_limits<T>::epsilon();
  return testing::largest_difference(apart, together) / (bound * testing::largest(together) * 4);
}

template <Real T, Backend B>
void check_merge_law() {
  const auto w = testing::random_matrix<T, B>(out, in, 3), x = testing::random_matrix<T, B>(tokens, in, 4);
  for (const bool stabilised : {false, true}) {
    for (const double alpha : {1.0, 4.0, 17.0}) {
      CAPTURE(stabilised, alpha);
      const LowRankOptions options{.alpha = alpha, .use_rslora = stabilised};
      CHECK(merge_error(trained<dyn, T, B>(options, 4), w, x) < 1.0);
      CHECK(merge_error(trained<4, T, B>(options, 4), w, x) < 1.0);
      CHECK(merge_error(trained<dyn, T, B>(options, 1), w, x) < 1.0);
      CHECK(merge_error(trained<dyn, T, B>(options, in + 3), w, x) < 1.0);  // more than full rank
    }
  }
}

}  // namespace

TEST_CASE("scaling is alpha / rank, or alpha / sqrt(rank)") {
  CHECK(low_rank_scaling(8, 16, false) == 0.5);
  CHECK(low_rank_scaling(8, 16, true) == 2.0);
}

TEMPLATE_LIST_TEST_CASE("merging changes no result: linear(x, merged(w)) is adapter(w, NoBias{}, x)", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  check_merge_law<float, TestType>();
  check_merge_law<double, TestType>();
}

TEMPLATE_LIST_TEST_CASE("16-bit weights merge into float", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  const auto adapter = trained<dyn, float, TestType>({.alpha = 5.0}, 3);
  CHECK(merge_error(adapter, convert<bfloat16>(w), x) < 1.0);
  CHECK(merge_error(adapter, convert<veneer::half>(w), x) < 1.0);
}

TEMPLATE_LIST_TEST_CASE("delta is what merging adds", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3);
  const auto before = to_host(w);
  const auto adapter = trained<dyn, double, TestType>({.alpha = 5.0}, 3);
  CHECK(testing::largest_difference(adapter.merged(w, NoBias{}).weight, add(w, adapter.delta().weight)) < 1e-14);
  CHECK(to_host(w) == before);
}

TEMPLATE_LIST_TEST_CASE("an untrained adapter changes no bit", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  const LowRankAdapter<TestType> adapter(weight_shape, {.alpha = 16.0}, {7, 7}, 3);
  CHECK(testing::same_bits(adapter(w, NoBias{}, x), linear(x, w)));
  CHECK(testing::same_bits(adapter.merged(w, NoBias{}).weight, w));
  CHECK(testing::largest(adapter.up.value()) == 0.0);
  const double bound = 1.0 / std::sqrt(static_cast<double>(in)), widest = testing::largest(adapter.down.value());
  CHECK(widest <= bound);
  CHECK(widest > 0.8 * bound);  // 36 values: fewer than 1 in 1000 seeds have none beyond
  CHECK_FALSE(adapter.bias);
}

TEMPLATE_LIST_TEST_CASE("the same stream draws the same adapter", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto down = [](RandomStream source) {
    return LowRankAdapter<TestType, 4>(weight_shape, {}, source).down.value();
  };
  CHECK(testing::same_bits(down({1, 2}), down({1, 2})));
  CHECK_FALSE(testing::same_bits(down({1, 2}), down({1, 3})));
  CHECK_FALSE(testing::same_bits(down({1, 2}), down({2, 2})));
}

TEMPLATE_LIST_TEST_CASE("dropout is on the adapter's input, on a tape, and nowhere else", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  const auto plain = trained<dyn, double, TestType>({.alpha = 5.0}, 3);
  auto dropping = plain;
  dropping.dropout_probability = 0.5;
  CHECK(testing::same_bits(dropping(w, NoBias{}, x), plain(w, NoBias{}, x)));
  Tape tape({3, 1}), same({3, 1});
  const auto y = dropping(w, NoBias{}, tape.input(x)).value();
  CHECK(tape.drawn() == 1);
  CHECK(testing::largest_difference(y, plain(w, NoBias{}, x)) > 0.1);
  CHECK(testing::same_bits(y, dropping(w, NoBias{}, same.input(x)).value()));
  const auto kept = dropout(same.input(x), 0.0).value();
  Tape again({3, 1});
  const auto expected = add(
      linear(x, w),
      scale(linear(linear(dropout(again.input(x), 0.5).value(), plain.down.value()), plain.up.value()), plain.scaling));
  CHECK(testing::largest_difference(y, expected) < 1e-14);
}

TEMPLATE_LIST_TEST_CASE("gradients of x, A, B and of B's bias are those of differences", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             c = testing::random_matrix<double, TestType>(tokens, out, 5);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 4);
  const auto adapter = trained<dyn, double, TestType>({.alpha = 5.0}, 3);
  for (const double p : {0.0, 0.4}) {
    // A Parameter's gradient is compared through a variable that takes its place: parameter values are varied in place.
    const auto down = adapter.down.value(), up = adapter.up.value();
    const auto bias = testing::random_vector<double, TestType>(out, 6);
    const auto loss = [&](Tape&, const auto& v) {
      LowRankAdapter<TestType, dyn, double> own(down, up, adapter.scaling, p);
      own.bias = Parameter(bias);
      return dot(own(w, NoBias{}, v), c);
    };
    CAPTURE(p);
    CHECK(gradient_error(loss, x) < 1e-6);

    LowRankAdapter<TestType, dyn, double> own(down, up, adapter.scaling, p);
    own.bias = Parameter(bias);
    Tape tape;
    backward(dot(own(w, NoBias{}, tape.input(x)), c));
    const auto slope_error = [&](auto& parameter) {
      const auto found = to_host(parameter.gradient());
      double error = 0.0, widest = 1e-3;
      auto values = to_host(parameter.value());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double kept = values[i];
        const auto at = [&](double value) {
          values[i] = value;
          parameter.device().copy_in(parameter.value().data(), values.data(), parameter.count());
          Tape other = Tape::forgetful({}, 0);
          return item(dot(own(w, NoBias{}, other.input(x)), c).value());
        };
        const double slope = (at(kept + 1e-5) - at(kept - 1e-5)) / 2e-5;
        at(kept);
        values[i] = kept;
        widest = std::max(widest, std::abs(slope));
        error = std::max(error, std::abs(slope - found[i]));
      }
      return error / widest;
    };
    CHECK(slope_error(own.down) < 1e-6);
    CHECK(slope_error(own.up) < 1e-6);
    CHECK(slope_error(own.bias) < 1e-6);
  }
}

TEMPLATE_LIST_TEST_CASE("the bias of B is scaled as B is", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  auto adapter = trained<dyn, double, TestType>({.alpha = 6.0}, 3);
  const auto without = adapter(w, NoBias{}, x);
  adapter.bias = Parameter(testing::random_vector<double, TestType>(out, 6));
  CHECK(testing::largest_difference(adapter(w, NoBias{}, x), add_row(without, scale(adapter.bias.value(), 2.0))) <
        1e-14);
}

TEMPLATE_LIST_TEST_CASE("an adapted embedding is the embedding of the merged table", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto table = testing::random_matrix<double, TestType>(9, 6, 1);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{8, 0, 3, 3});
  LowRankEmbeddingAdapter<TestType, dyn, double> adapter(table.shape(), {.alpha = 5.0}, {1, 1}, 2);
  CHECK(testing::same_bits(adapter(table, NoBias{}, ids), embedding(ids, table)));  // A starts at 0
  CHECK(testing::largest(adapter.up.value()) > 0.0);
  adapter.down = Parameter(testing::random_matrix<double, TestType>(2, 9, 3));
  CHECK(testing::largest_difference(adapter(table, NoBias{}, ids),
                                    embedding(ids, adapter.merged(table, NoBias{}).weight)) < 1e-14);
  CHECK(testing::largest_difference(adapter.merged(table, NoBias{}).weight, add(table, adapter.delta().weight)) <
        1e-14);
  Tape tape;
  const auto y = adapter(table, NoBias{}, tape.input(ids));
  backward(dot(y, y.value()));
  CHECK(adapter.down.gradient());
  CHECK(adapter.up.gradient());
}

TEMPLATE_LIST_TEST_CASE("a rank below 1 is refused with the weight's shape", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t rank : {index_t{0}, index_t{-3}, dyn}) {
    CHECK_THROWS_AS((LowRankAdapter<TestType>(weight_shape, {}, {}, rank)), ArgumentError);
    CHECK_THROWS_AS((LowRankEmbeddingAdapter<TestType>(weight_shape, {}, {}, rank)), ArgumentError);
  }
  CHECK_THROWS_WITH((LowRankAdapter<TestType>(weight_shape, {}, {}, 0)),
                    Catch::Contains("rank must be at least 1; it is 0 for a weight of (7, 12)"));
  CHECK_THROWS_AS((LowRankAdapter<TestType, 4>(weight_shape, {}, {}, 5)), ShapeError);  // the type says 4
}

}  // namespace lora_test
