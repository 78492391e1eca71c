// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/dora.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/optim/adamw.hpp"

#include "support/backends.hpp"
#include "support/slopes.hpp"
#include "support/values.hpp"

namespace dora_test {

using namespace veneer;

namespace {

constexpr index_t out = 7, in = 12, tokens = 5;

/// An adapter that was trained: factors and lengths are random.
template <index_t Rank, Real T, Backend B>
DoraAdapter<B, Rank, T> trained(const Matrix<T, B>& w, LowRankOptions options, index_t rank) {
  DoraAdapter<B, Rank, T> adapter(w, options, {1, 1}, rank);
  adapter.direction.up = Parameter(testing::random<T, B>(shape_of<Shape<dyn, Rank>>(w.extent(0), rank), 2, 0.3));
  adapter.magnitude.value = Parameter(testing::random_vector<T, B>(w.extent(0), 6));
  return adapter;
}

/// linear(x, merged) from adapter(w, NoBias{}, x), relative to the largest of the two.
double merge_error(const auto& adapter, const auto& w, const auto& x) {
  const auto apart = adapter(w, NoBias{}, x), together = linear(x, adapter.merged(w, NoBias{}).weight);
  return testing::largest_difference(apart, together) / testing::largest(together);
}

/// The adapter with n held still: what its gradients are the gradients of. The rule of PEFT, part by part.
auto with_norms_held(const auto& w, const auto& x, const auto& a, const auto& b, const auto& m, const auto& norms,
                     double s, double p) {
  const auto inner_part = p > 0.0 ? dropout(x, p) : x;
  const auto g = divide(m, norms);
  const auto base = linear(x, w), again = linear(inner_part, w);
  const auto change = scale(linear(linear(inner_part, a), b), s);
  return add(base, add(add(scale_columns(again, g), scale(again, -1.0)), scale_columns(change, g)));
}

template <class A>
struct Alone {
  A adapter;
  static constexpr auto fields = std::tuple{field("", &Alone::adapter)};
};

template <TensorLike W>
std::vector<double> direct_norms(const W& sum) {
  const auto values = to_host(sum);
  std::vector<double> norms;
  for (index_t r = 0; r < sum.extent(0); ++r) {
    double square = 0.0;
    for (index_t c = 0; c < sum.extent(1); ++c) {
      const auto x = static_cast<double>(values[static_cast<std::size_t>(r * sum.extent(1) + c)]);
      square += x * x;
    }
    norms.push_back(std::sqrt(square));
  }
  return norms;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("merging DoRA changes no result", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  const auto w2 = testing::random_matrix<double, TestType>(out, in, 3),
             x2 = testing::random_matrix<double, TestType>(tokens, in, 4);
  for (const bool stabilised : {false, true}) {
    const LowRankOptions options{.alpha = 7.0, .use_rslora = stabilised};
    CHECK(merge_error(trained<dyn>(w, options, 3), w, x) < 1e-6);
    CHECK(merge_error(trained<4>(w, options, 4), w, x) < 1e-6);
    CHECK(merge_error(trained<dyn>(w, options, in + 3), w, x) < 1e-6);
    CHECK(merge_error(trained<dyn>(w2, options, 3), w2, x2) < 1e-14);
  }
  CHECK(merge_error(trained<dyn>(w, {.alpha = 7.0}, 3), convert<bfloat16>(w), x) < 1e-6);
  CHECK(merge_error(trained<dyn>(w, {.alpha = 7.0}, 3), convert<veneer::half>(w), x) < 1e-6);
}

TEMPLATE_LIST_TEST_CASE("an untrained DoRA adapter changes no bit, whatever the weight is stored as", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  const auto check = [&](const auto& weight) {
    const DoraAdapter<TestType> adapter(weight, {.alpha = 16.0}, {7, 7}, 3);
    CHECK(testing::same_bits(adapter(weight, NoBias{}, x), linear(x, weight)));
    CHECK(testing::same_bits(adapter.merged(weight, NoBias{}).weight, copy(decode(weight))));
    Tape tape;
    CHECK(testing::same_bits(adapter(weight, NoBias{}, tape.input(x)).value(), linear(x, weight)));
  };
  check(w), check(convert<bfloat16>(w)), check(convert<veneer::half>(w));
}

TEMPLATE_LIST_TEST_CASE("the vectors of a worked example", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::matrix_of<TestType, double>(2, 2, {1, 2, 3, 4});
  DoraAdapter<TestType, dyn, double> adapter(w, {.alpha = 2.0}, {}, 1);
  CHECK(to_host(adapter.magnitude.value.value())[0] == Approx(std::sqrt(5.0)));
  CHECK(to_host(adapter.magnitude.value.value())[1] == 5.0);
  adapter.direction.down = Parameter(testing::matrix_of<TestType, double>(1, 2, {1, -1}));
  adapter.direction.up = Parameter(testing::matrix_of<TestType, double>(2, 1, {2, -1}));
  const auto merged = to_host(adapter.merged(w, NoBias{}).weight);
  const double first = std::sqrt(5.0 / 29.0), second = 5.0 / std::sqrt(37.0);
  CHECK(merged[0] == Approx(5.0 * first));
  CHECK(merged[1] == Approx(-2.0 * first));
  CHECK(merged[2] == Approx(1.0 * second));
  CHECK(merged[3] == Approx(6.0 * second));
}

TEMPLATE_LIST_TEST_CASE("gradients are those of differences with the norms held, with dropout too", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<double, TestType>(out, in, 3),
             c = testing::random_matrix<double, TestType>(tokens, out, 5),
             x = testing::random_matrix<double, TestType>(tokens, in, 4);
  for (const double p : {0.0, 0.4}) {
    CAPTURE(p);
    auto adapter = trained<dyn>(w, {.alpha = 5.0, .dropout = p}, 3);
    const auto norms = testing::vector_of<TestType>(direct_norms(adapter.direction.merged(w, NoBias{}).weight));
    const double s = adapter.direction.scaling;
    Tape tape;
    const auto v = tape.variable(x);
    const auto y = adapter(w, NoBias{}, v);
    backward(dot(y, c));
    const auto held = [&](const auto& input) {
      return with_norms_held(w, input, adapter.direction.down.value(), adapter.direction.up.value(),
                             adapter.magnitude.value.value(), norms, s, p);
    };
    Tape same;
    CHECK(testing::largest_difference(y.value(), held(same.input(x)).value()) < 1e-13);
    const auto loss = [&] {
      Tape other = Tape::forgetful({}, 0);
      return item(dot(held(other.input(x)), c).value());
    };
    CHECK(testing::slope_error(adapter.direction.down, loss) < 1e-6);
    CHECK(testing::slope_error(adapter.direction.up, loss) < 1e-6);
    CHECK(testing::slope_error(adapter.magnitude.value, loss) < 1e-6);
    CHECK(gradient_error([&](Tape&, const auto& input) { return dot(held(input), c); }, x) < 1e-6);
    Tape twin;
    const auto u = twin.variable(x);
    backward(dot(held(u), c));
    CHECK(testing::largest_difference(v.gradient(), u.gradient()) < 1e-12);
  }
}

TEMPLATE_LIST_TEST_CASE("norms that are kept follow every change of A, B, the scaling and the weight", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             other = testing::random_matrix<float, TestType>(out, in, 13),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  auto adapter = trained<dyn>(w, {.alpha = 7.0}, 3);
  const auto as_new = [&](const auto& weight) {
    DoraAdapter<TestType> fresh(weight, adapter.direction);
    fresh.magnitude.value = adapter.magnitude.value;
    return fresh(weight, NoBias{}, x);
  };
  const auto agrees = [&](const auto& weight) {
    return testing::same_bits(adapter(weight, NoBias{}, x), as_new(weight));
  };
  CHECK(agrees(w));
  CHECK(agrees(w));  // from what was kept
  CHECK(agrees(other));
  CHECK(agrees(convert<bfloat16>(w)));
  const NF4Tensor packed(w);
  CHECK(agrees(packed));
  CHECK(agrees(NF4Tensor(other)));
  CHECK(agrees(packed));
  CHECK(agrees(w));
  fill(adapter.direction.up.value(), 0.125f);
  CHECK(agrees(w));
  adapter.direction.down = Parameter(testing::random_matrix<float, TestType>(3, in, 21));
  CHECK(agrees(w));
  adapter.direction.scaling = -1.0;
  CHECK(agrees(w));
  const Parameter<float, Shape<dyn, dyn>, TestType> trains(copy(w));
  const auto before = adapter(trains, NoBias{}, x);
  auto in_place = trains.value();
  fill(in_place, 0.5f);
  CHECK(agrees(trains));
  CHECK_FALSE(testing::same_bits(adapter(trains, NoBias{}, x), before));
}

TEMPLATE_LIST_TEST_CASE("an optimizer's step is seen by the norms that are kept", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 3),
             x = testing::random_matrix<float, TestType>(tokens, in, 4);
  Alone<DoraAdapter<TestType>> model{trained<dyn>(w, {.alpha = 7.0}, 3)};
  AdamW optimizer(model, {.learning_rate = 0.1});
  for (int step = 0; step < 3; ++step) {
    Tape tape;
    backward(dot(model.adapter(w, NoBias{}, tape.input(x)), testing::random_matrix<float, TestType>(tokens, out, 5)));
    optimizer.step();
    DoraAdapter<TestType> fresh(w, model.adapter.direction);
    fresh.magnitude.value = model.adapter.magnitude.value;
    CHECK(testing::same_bits(model.adapter(w, NoBias{}, x), fresh(w, NoBias{}, x)));
  }
}

TEMPLATE_LIST_TEST_CASE("a row of zeros gives zero and no NaN", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  std::vector<float> values(static_cast<std::size_t>(out * in), 0.5f);
  std::fill(values.begin(), values.begin() + in, 0.0f);
  const auto w = testing::matrix_of<TestType>(out, in, values);
  const DoraAdapter<TestType> adapter(w, {}, {1, 1}, 2);
  const auto x = testing::random_matrix<float, TestType>(tokens, in, 4);
  CHECK(testing::same_bits(adapter(w, NoBias{}, x), linear(x, w)));
}

TEMPLATE_LIST_TEST_CASE("DoRA of an embedding is the embedding of the merged table", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto table = testing::random_matrix<double, TestType>(9, 6, 1);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{8, 0, 3, 3});
  DoraEmbeddingAdapter<TestType, dyn, double> adapter(
      table, LowRankEmbeddingAdapter<TestType, dyn, double>(table.shape(), {.alpha = 5.0}, {1, 1}, 2));
  CHECK(testing::same_bits(adapter(table, NoBias{}, ids), embedding(ids, table)));
  adapter.direction.down = Parameter(testing::random_matrix<double, TestType>(2, 9, 3));
  adapter.magnitude.value = Parameter(testing::random_vector<double, TestType>(6, 4));
  CHECK(testing::largest_difference(adapter(table, NoBias{}, ids),
                                    embedding(ids, adapter.merged(table, NoBias{}).weight)) < 1e-13);
  const auto c = testing::random_matrix<double, TestType>(4, 6, 5);
  Tape tape;
  backward(dot(adapter(table, NoBias{}, tape.input(ids)), c));
  const auto transposed = [](const auto& m) {
    Matrix<double, TestType> t(Shape<dyn, dyn>(m.extent(1), m.extent(0)));
    std::vector<double> from = to_host(m), to(from.size());
    for (index_t r = 0; r < m.extent(0); ++r)
      for (index_t k = 0; k < m.extent(1); ++k)
        to[static_cast<std::size_t>(k * m.extent(0) + r)] = from[static_cast<std::size_t>(r * m.extent(1) + k)];
    return from_host(t.shape(), to, m.device());
  };
  const auto norms =
      testing::vector_of<TestType>(direct_norms(transposed(adapter.direction.merged(table, NoBias{}).weight)));
  const auto loss = [&] {
    Tape other = Tape::forgetful({}, 0);
    const auto y = scale_columns(adapter.direction(table, NoBias{}, other.input(ids)),
                                 divide(adapter.magnitude.value.value(), norms));
    return item(dot(y, c).value());
  };
  CHECK(testing::slope_error(adapter.direction.down, loss) < 1e-6);
  CHECK(testing::slope_error(adapter.direction.up, loss) < 1e-6);
  CHECK(testing::slope_error(adapter.magnitude.value, loss) < 1e-6);
}

}  // namespace dora_test
