// SPDX-License-Identifier: Apache-2.0
#include "veneer/autograd/checkpoint.hpp"

#include <tuple>
#include <vector>

#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace checkpoint_test {

using namespace veneer;

namespace {

/// y = x, and how often it was computed.
struct Counted {
  int* forwards;
  int* pullbacks;
  auto forward(const auto& x) const {
    ++*forwards;
    return x;
  }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const {
    ++*pullbacks;
    return dy;
  }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

/// x -> x + dropout(silu(x) * w): a layer with a parameter and random numbers, on activations of type T.
template <Backend B, Stored T>
struct Layer {
  Parameter<compute_t<T>, Shape<dyn>, B> w;
  auto operator()(const auto& x) const { return add(x, dropout(scale_columns(silu(x), w), 0.3)); }
};

template <Backend B, Stored T>
struct Result {
  compute_t<T> loss = 0;
  Matrix<T, B> input;                              // its gradient
  std::vector<Vector<compute_t<T>, B>> gradients;  // of each layer
};

/// Three layers, with dropout before, between and after them; `around(f, x)` applies a layer.
template <Backend B, Stored T, class Around>
Result<B, T> train(const Around& around, bool input_wanted = true) {
  using C = compute_t<T>;
  std::vector<Layer<B, T>> layers;
  for (std::uint64_t i = 0; i < 3; ++i) layers.push_back({Parameter(testing::random_vector<C, B>(5, 10 + i))});
  Tape tape({31, 4});
  const auto start = convert<T>(testing::random_matrix<C, B>(6, 5, 1));
  const auto x = input_wanted ? tape.variable(start) : tape.input(start);
  auto h = dropout(x, 0.1);
  for (const Layer<B, T>& layer : layers) h = dropout(around(layer, h), 0.2);
  const auto loss = dot(h, convert<T>(testing::random_matrix<C, B>(6, 5, 2)));
  backward(loss);
  Result<B, T> result{item(loss.value()), x.gradient(), {}};
  for (const Layer<B, T>& layer : layers) result.gradients.push_back(layer.w.gradient());
  return result;
}

template <Backend B, Stored T>
void check_equal(const Result<B, T>& a, const Result<B, T>& b) {
  CHECK(a.loss == b.loss);
  CHECK(testing::same_bits(a.input, b.input));
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    CAPTURE(i);
    CHECK(testing::same_bits(a.gradients[i], b.gradients[i]));
  }
}

/// Plain, with a checkpoint around each layer, and with one inside another.
template <Backend B, Stored T>
void check_checkpoints() {
  const auto plain = [](const auto& f, const auto& x) { return f(x); };
  const auto once = [](const auto& f, const auto& x) { return checkpoint(f, x); };
  const auto nested = [](const auto& f, const auto& x) {
    return checkpoint([&f](const auto& y) { return checkpoint(f, y); }, x);
  };
  for (const bool wanted : {true, false}) {
    CAPTURE(wanted);
    const auto expected = train<B, T>(plain, wanted);
    CHECK(expected.gradients[0]);
    CHECK(static_cast<bool>(expected.input) == wanted);
    check_equal(train<B, T>(once, wanted), expected);
    check_equal(train<B, T>(nested, wanted), expected);
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a checkpoint changes no bit of the loss or of any gradient, dropout included", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  check_checkpoints<TestType, double>();
}

TEMPLATE_LIST_TEST_CASE("nor with activations in 16 bits and parameters in float", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  check_checkpoints<TestType, bfloat16>();
}

TEMPLATE_LIST_TEST_CASE("a checkpoint computes twice forward and once back", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  int forwards = 0, pullbacks = 0;
  Tape tape;
  const auto x = tape.variable(testing::random_vector<double, TestType>(4, 1));
  const auto y = checkpoint([&](const auto& v) { return apply(Counted{&forwards, &pullbacks}, v); }, x);
  CHECK(forwards == 1);
  CHECK(tape.size() == 1);
  backward(dot(y, y.value()));
  CHECK(forwards == 2);
  CHECK(pullbacks == 1);
  CHECK(testing::same_bits(x.gradient(), x.value()));
}

TEMPLATE_LIST_TEST_CASE("on a tensor, or on a forgetful tape, a checkpoint is its function", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  int forwards = 0, pullbacks = 0;
  const auto f = [&](const auto& v) { return apply(Counted{&forwards, &pullbacks}, v); };
  const auto x = testing::random_vector<double, TestType>(4, 1);
  const auto y = checkpoint(f, x);
  static_assert(TensorLike<decltype(y)>);
  CHECK(testing::same_bits(y, x));
  Tape tape = Tape::forgetful({}, 0);
  checkpoint(f, tape.variable(x));
  CHECK(forwards == 2);
  CHECK(tape.size() == 0);
}

TEMPLATE_LIST_TEST_CASE("a checkpoint without anything trainable, or that hands its input on, is harmless", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto c = testing::random_vector<double, TestType>(4, 2);
  const auto frozen = tape.input(testing::random_vector<double, TestType>(4, 1));
  CHECK_NOTHROW(backward(dot(checkpoint([](const auto& v) { return silu(v); }, frozen), c)));
  CHECK_FALSE(frozen.gradient());
  const auto x = tape.variable(testing::random_vector<double, TestType>(4, 1));
  backward(dot(checkpoint([](const auto& v) { return v; }, x), c));
  CHECK(testing::same_bits(x.gradient(), c));
}

TEMPLATE_LIST_TEST_CASE("gradients of a checkpoint add to those from elsewhere", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(testing::vector_of<TestType>(std::vector<double>{1, 2}));
  const auto y = checkpoint([](const auto& v) { return scale(v, 10.0); }, x);
  backward(dot(add(y, x), add(x.value(), x.value())));  // 11 * 2 x
  CHECK(to_host(x.gradient()) == std::vector<double>{22, 44});
}

TEMPLATE_LIST_TEST_CASE("a gradient computed in the forward pass has the bits of one computed backward", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto start = testing::random_matrix<double, TestType>(6, 5, 1);
  const auto c = testing::random_matrix<double, TestType>(6, 5, 2);
  // A power of two scales without rounding.
  const auto gradient = [&](bool in_forward, bool trains, double factor) {
    const Parameter w(testing::random_vector<double, TestType>(5, 3));
    Tape tape({7, 1});
    const auto x = tape.variable(start);
    const auto f = [&](const auto& v) {
      return dot(dropout(silu(trains ? scale_columns(v, w) : scale_columns(v, w.value())), 0.3), c);
    };
    const auto y = dropout(x, 0.5);
    const auto loss = in_forward ? gradient_in_forward(f, y) : f(y);
    const auto after = dropout(x, 0.5);  // draws what it draws without
    const double value = item(loss.value());
    backward(scale(add(loss, dot(after, c)), factor));
    return std::tuple{value, x.gradient(), w.gradient()};
  };
  for (const bool trains : {false, true}) {
    for (const double factor : {1.0, 0.25}) {
      CAPTURE(trains, factor);
      const auto [value, dx, dw] = gradient(true, trains, factor);
      const auto [expected_value, expected_dx, expected_dw] = gradient(false, trains, factor);
      CHECK(value == expected_value);
      CHECK(testing::same_bits(dx, expected_dx));
      REQUIRE(static_cast<bool>(dw) == trains);
      if (trains) CHECK(testing::same_bits(dw, expected_dw));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a gradient in the forward pass computes once forward, once back, and keeps the gradient alone",
                        "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  int forwards = 0, pullbacks = 0;
  const auto f = [&](const auto& v) { return dot(apply(Counted{&forwards, &pullbacks}, v), v); };
  Tape tape;
  const auto x = tape.variable(testing::vector_of<TestType>(std::vector<double>{1, 2}));
  const auto y = gradient_in_forward(f, x);
  CHECK(forwards == 1);
  CHECK(pullbacks == 1);
  CHECK(tape.size() == 1);
  CHECK_FALSE(x.gradient());
  backward(scale(add(y, dot(x, x)), 0.5));
  CHECK(to_host(x.gradient()) == std::vector<double>{2, 4});
  CHECK(pullbacks == 1);

  const auto frozen = tape.input(x.value());
  CHECK_NOTHROW(backward(gradient_in_forward(f, frozen)));
  static_assert(TensorLike<decltype(gradient_in_forward(f, x.value()))>);
  const auto handed_on = tape.variable(testing::vector_of<TestType>(std::vector<double>{3}));
  backward(gradient_in_forward([](const auto& v) { return v; }, handed_on));
  CHECK(to_host(handed_on.gradient()) == std::vector<double>{1});
  const auto matrix = tape.variable(testing::random_matrix<double, TestType>(2, 2, 1));
  CHECK_THROWS_AS(gradient_in_forward([](const auto& v) { return silu(v); }, matrix), ShapeError);
}

TEST_CASE("a checkpoint keeps its input and nothing of what is computed inside") {
  const auto deep = [](const auto& x) {
    auto y = silu(x);
    for (int i = 0; i < 7; ++i) y = silu(y);
    return y;
  };
  const auto kept = [&](bool checkpointed) {
    Tape tape;
    const auto x = tape.variable(testing::random_matrix<double, Cpu>(64, 64, 1));
    const std::size_t before = cpu::Memory::instance().use().used;
    const auto y = checkpointed ? checkpoint(deep, x) : deep(x);
    return cpu::Memory::instance().use().used - before;
  };
  CHECK(kept(true) == 1 * 32768);   // the result
  CHECK(kept(false) == 8 * 32768);  // and what every silu was given
}

}  // namespace checkpoint_test
