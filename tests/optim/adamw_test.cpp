// SPDX-License-Identifier: Apache-2.0
#include "veneer/optim/adamw.hpp"

#include <cmath>

#include "veneer/backend/cpu.hpp"
#include "veneer/optim/clip.hpp"

#include "support/catch.hpp"

namespace adamw_test {

using namespace veneer;

namespace {

struct Pair {
  Parameter<float, Shape<dyn>, Cpu> left, right;
  static constexpr auto fields = std::tuple{field("left", &Pair::left), field("right", &Pair::right)};
};

Pair make_pair() {
  return {Parameter(from_host(Shape<dyn>(3), std::vector<float>{1.0f, -2.0f, 0.5f}, Cpu{})),
          Parameter(from_host(Shape<dyn>(2), std::vector<float>{4.0f, 0.0f}, Cpu{}))};
}

void give(Parameter<float, Shape<dyn>, Cpu>& parameter, const std::vector<float>& gradient) {
  parameter.slot()->gradient = from_host(Shape<dyn>(static_cast<index_t>(gradient.size())), gradient, Cpu{});
}

}  // namespace

TEST_CASE("AdamW follows its equation in double precision") {
  Pair model = make_pair();
  const AdamWOptions o{.learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1};
  AdamW optimizer(model, o);
  std::vector<double> p{1.0, -2.0, 0.5}, m(3), v(3);
  for (int t = 1; t <= 20; ++t) {
    std::vector<float> gradient;
    for (std::size_t i = 0; i < 3; ++i)
      gradient.push_back(static_cast<float>(std::sin(t * 1.7 + static_cast<double>(i))));
    give(model.left, gradient);
    optimizer.step();
    for (std::size_t i = 0; i < 3; ++i) {
      const double g = gradient[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double step =
          m[i] / (1 - std::pow(o.beta1, t)) / (std::sqrt(v[i] / (1 - std::pow(o.beta2, t))) + o.epsilon);
      p[i] = p[i] * (1 - o.learning_rate * o.weight_decay) - o.learning_rate * step;
    }
  }
  const auto found = to_host(model.left.value());
  for (std::size_t i = 0; i < 3; ++i) CHECK(found[i] == Approx(p[i]).epsilon(2e-6));
  CHECK(to_host(model.right.value()) == std::vector<float>{4.0f, 0.0f});  // no gradient: left alone, decay too
  CHECK_FALSE(model.left.gradient());
}

TEST_CASE("A saved and restored optimiser goes on with the same bits") {
  Pair whole = make_pair(), halves = make_pair();
  AdamW first(whole, {.learning_rate = 0.01});
  const auto gradient = [](int t) { return std::vector<float>{0.1f * static_cast<float>(t), -1.0f, 1e-3f}; };
  for (int t = 0; t < 6; ++t) give(whole.left, gradient(t)), first.step();
  AdamW before(halves, {.learning_rate = 0.01});
  for (int t = 0; t < 3; ++t) give(halves.left, gradient(t)), before.step();
  AdamW after(halves, {.learning_rate = 0.01});
  after.restore(before.steps(), before.moments());
  for (int t = 3; t < 6; ++t) give(halves.left, gradient(t)), after.step();
  CHECK(to_host(whole.left.value()) == to_host(halves.left.value()));
  CHECK(after.steps() == 6);
  Pair other{make_pair().right, make_pair().left};
  AdamW wrong(other, {});
  CHECK_THROWS_AS(wrong.restore(1, before.moments()), FormatError);
}

TEST_CASE("Groups change rate and decay of some parameters") {
  Pair model = make_pair();
  AdamW optimizer(model, {.learning_rate = 0.1, .weight_decay = 0.0}, [](const std::string& name, int) {
    return ParameterGroup{name == "right" ? 0.0 : 1.0, 1.0};
  });
  give(model.left, {1, 1, 1});
  give(model.right, {1, 1});
  optimizer.step();
  CHECK(to_host(model.right.value()) == std::vector<float>{4.0f, 0.0f});
  CHECK(to_host(model.left.value())[0] == Approx(0.9));
}

TEST_CASE("Clipping shortens the common gradient, and only when it is too long") {
  Pair model = make_pair();
  AdamW optimizer(model, {});
  give(model.left, {3, 0, 0});
  give(model.right, {0, 4});
  CHECK(clip_gradients(optimizer, 10.0) == Approx(5.0));
  CHECK(to_host(model.left.gradient())[0] == 3.0f);
  CHECK(clip_gradients(optimizer, 1.0) == Approx(5.0));
  CHECK(optimizer.gradient_norm() == Approx(1.0).epsilon(1e-6));
  CHECK(to_host(model.right.gradient())[1] == Approx(0.8).epsilon(1e-6));
  CHECK(clip_gradients(optimizer, 0.0) == Approx(1.0).epsilon(1e-6));
  CHECK_THROWS_AS(clip_gradients(optimizer, -1.0), ArgumentError);
}

TEST_CASE("NoGradient to train is an error") {
  Pair empty;  // parameters without values
  CHECK_THROWS_AS(AdamW(empty), ArgumentError);
}

}  // namespace adamw_test
