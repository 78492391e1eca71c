// SPDX-License-Identifier: Apache-2.0
#include "veneer/autograd/tape.hpp"

#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/ops/axis_scale.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace tape_test {

using namespace veneer;

namespace {

using Doubles = std::vector<double>;

template <Backend B>
Tensor<double, Shape<3>, B> three(double a, double b, double c) {
  return from_host<double, B>(Shape<3>{}, {a, b, c});
}

/// y = x; its pullback records the remaining length of the tape, and the memory in use.
struct Probe {
  const Tape* tape;
  std::vector<std::size_t>* lengths;
  std::vector<std::size_t>* bytes;
  auto forward(const auto& x) const { return x; }
  auto pullback(Wrt<0>, const auto& dy, const auto&...) const {
    lengths->push_back(tape->size());
    bytes->push_back(cpu::Memory::instance().use().used);
    return dy;
  }
  static constexpr Reads reads(const RequiresGrad<1>&) { return Reads::nothing(); }
};

template <class X>
constexpr bool has_gradient = requires(X x) { x.gradient(); };

// Frozen is a type: a tensor has no gradient, and a tape cannot be copied.
static_assert(!has_gradient<Matrix<float, Cpu>>);
static_assert(has_gradient<Parameter<float, Shape<2>, Cpu>> && has_gradient<Variable<float, Shape<2>, Cpu>>);
static_assert(!std::is_copy_constructible_v<Tape> && !std::is_move_constructible_v<Tape>);
static_assert(ValueLike<Matrix<float, Cpu>> && ValueLike<Variable<float, Shape<2>, Cpu>> && !ValueLike<float>);

// The rules of shapes hold for variables.
template <index_t... Extents>
using Var = Variable<double, Shape<Extents...>, Cpu>;
static_assert(std::is_convertible_v<Var<2, 3>, Var<dyn, 3>> && !std::is_convertible_v<Var<dyn, 3>, Var<2, 3>>);
static_assert(std::is_constructible_v<Var<2, 3>, Var<dyn, 3>> && !std::is_constructible_v<Var<2, 3>, Var<2, 4>>);

}  // namespace

TEMPLATE_LIST_TEST_CASE("the gradient of a value that is used twice is the sum of both uses", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto c = three<TestType>(1, 2, 3);
  const auto gradient = [&](const auto& f) {
    Tape tape;
    const auto x = tape.variable(three<TestType>(4, 5, 6));
    backward(dot(f(x), c));
    return to_host(x.gradient());
  };
  CHECK(gradient([](const auto& x) { return x; }) == Doubles{1, 2, 3});
  CHECK(gradient([](const auto& x) { return add(x, x); }) == Doubles{2, 4, 6});
  CHECK(gradient([](const auto& x) { return multiply(x, x); }) == Doubles{8, 20, 36});
  CHECK(gradient([](const auto& x) { return add(multiply(x, x), scale(x, 10.0)); }) == Doubles{18, 40, 66});
  CHECK(gradient([](const auto& x) { return add(add(x, x), add(x, x)); }) == Doubles{4, 8, 12});
  CHECK(gradient([](const auto& x) {  // a diamond
          const auto y = scale(x, 2.0);
          return multiply(y, add(y, x));  // 6 x^2
        }) == Doubles{48, 120, 216});
}

TEMPLATE_LIST_TEST_CASE("the gradient of a 16-bit value is in 16 bits, and each addition to it is rounded once", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto one = convert<bfloat16>(full<float, TestType>(Shape<1>{}, 1.0f));
  const auto gradient = [&](double first, double second, double third) {
    Tape tape;
    const auto x = tape.variable(one);
    const auto a = scale(x, first), b = scale(x, second), c = scale(x, third);
    const auto loss = dot(add(add(a, b), c), one);
    static_assert(std::is_same_v<typename decltype(loss)::scalar, float>);
    backward(loss);
    static_assert(std::is_same_v<decltype(item(x.gradient())), bfloat16>);
    return static_cast<float>(item(x.gradient()));
  };
  constexpr double half_unit = 0x1p-8;                 // in the last place of 1
  CHECK(gradient(half_unit, half_unit, 1.0) == 1.0f);  // the last use comes first: 1 + h is rounded to 1, twice
  CHECK(gradient(1.0, half_unit, half_unit) == 1.0f + 0x1p-7f);
}

TEMPLATE_LIST_TEST_CASE("a float parameter gets its gradient in float from 16-bit operands", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Parameter bias(full<float, TestType>(Shape<dyn>(2), 0.0f)), factor(full<float, TestType>(Shape<dyn>(2), 1.0f));
  const auto ones = convert<bfloat16>(full<float, TestType>(Shape<dyn, dyn>(257, 2), 1.0f));
  Tape tape;
  const auto x = tape.variable(ones);
  backward(dot(scale_columns(add_row(x, bias), factor), ones));
  CHECK(to_host(bias.gradient()) == std::vector<float>{257.0f, 257.0f});  // bfloat16 holds 256 and 258
  CHECK(to_host(factor.gradient()) == std::vector<float>{257.0f, 257.0f});
  CHECK(testing::same_bits(x.gradient(), ones));
}

TEMPLATE_LIST_TEST_CASE("two values that get one gradient do not add into each other", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(three<TestType>(1, 1, 1)), y = tape.variable(three<TestType>(2, 2, 2));
  const auto early = scale(x, 10.0);  // contributes to x's gradient after add has shared one buffer between x and y
  const auto z = add(add(x, y), early);
  backward(dot(z, three<TestType>(1, 2, 3)));
  CHECK(to_host(x.gradient()) == Doubles{11, 22, 33});
  CHECK(to_host(y.gradient()) == Doubles{1, 2, 3});
}

TEMPLATE_LIST_TEST_CASE("parameters gather gradients across tapes; a handle on an old one keeps its values", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Parameter p(three<TestType>(1, 2, 3));
  const Parameter same = p;  // a handle to the value and to the gradient
  const auto step = [&](double factor) {
    Tape tape;
    backward(dot(tape.input(three<TestType>(factor, factor, factor)), p));
  };
  step(1.0);
  const auto first = p.gradient();
  CHECK(to_host(first) == Doubles{1, 1, 1});
  step(10.0);
  CHECK(to_host(p.gradient()) == Doubles{11, 11, 11});
  CHECK(to_host(first) == Doubles{1, 1, 1});
  CHECK(same.gradient().data() == p.gradient().data());
  p.clear_gradient();
  CHECK_FALSE(same.gradient());
  step(3.0);
  CHECK(to_host(same.gradient()) == Doubles{3, 3, 3});
}

TEMPLATE_LIST_TEST_CASE("a gradient that somebody holds is not written to", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  GradientSlot<double, 1, TestType> slot;
  const Tensor<double, Shape<dyn>, TestType> one = three<TestType>(1, 1, 1), two = three<TestType>(2, 2, 2);
  slot.add(one);
  CHECK(slot.gradient.data() == one.data());  // the first is stored without a copy
  slot.add(two);
  CHECK(to_host(slot.gradient) == Doubles{3, 3, 3});
  const double* place = slot.gradient.data();
  slot.add(two);
  CHECK(slot.gradient.data() == place);  // now the sum is its own
  CHECK(to_host(slot.gradient) == Doubles{5, 5, 5});
  slot.add(slot.gradient);
  CHECK(to_host(slot.gradient) == Doubles{10, 10, 10});
  CHECK(to_host(one) == Doubles{1, 1, 1});
  CHECK(to_host(two) == Doubles{2, 2, 2});
}

TEMPLATE_LIST_TEST_CASE("an input wants no gradient, and has no place for one", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.input(three<TestType>(1, 2, 3));
  Parameter p(three<TestType>(4, 5, 6));
  const auto y = multiply(x, p);
  CHECK_FALSE(x.wanted());
  CHECK(x.slot() == nullptr);
  CHECK(y.wanted());
  backward(dot(y, three<TestType>(1, 1, 1)));
  CHECK_FALSE(x.gradient());
  CHECK(to_host(p.gradient()) == Doubles{1, 2, 3});
}

TEMPLATE_LIST_TEST_CASE("what nothing trainable lies before is never recorded", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.input(three<TestType>(1, 2, 3));
  const auto y = multiply(silu(x), three<TestType>(1, 1, 1));
  CHECK(tape.size() == 0);
  CHECK_FALSE(y.wanted());
  CHECK_NOTHROW(backward(dot(y, y)));
  CHECK(tape.size() == 0);
}

TEMPLATE_LIST_TEST_CASE("backward asks for one value", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(three<TestType>(1, 2, 3));
  const auto y = scale(x, 2.0);
  CHECK_THROWS_AS(backward(y), ShapeError);
  CHECK_THROWS_WITH(backward(y), Catch::Contains("loss must hold one value, its shape is (3)"));
  CHECK_THROWS_AS(backward(tape.variable(zeros<double, TestType>(Shape<0>{}))), ShapeError);
  CHECK_FALSE(x.gradient());
}

TEMPLATE_LIST_TEST_CASE("backward starts from the derivative that it is given", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(three<TestType>(1, 2, 3));
  backward(dot(x, three<TestType>(1, 1, 1)), 0.25);
  CHECK(to_host(x.gradient()) == Doubles{0.25, 0.25, 0.25});
  const auto alone = tape.variable(full<double, TestType>(Shape<dyn, dyn>(1, 1), 7.0));
  backward(alone);
  CHECK(item(alone.gradient()) == 1.0);
}

TEST_CASE("a tape frees as it goes") {
  constexpr int depth = 6;
  std::vector<std::size_t> lengths, bytes;
  const std::size_t before = cpu::Memory::instance().use().used;
  {
    Tape tape;
    const auto loss = [&] {
      auto y = tape.variable(testing::random_matrix<double, Cpu>(64, 64, 1));
      for (int i = 0; i < depth; ++i)
        y = silu(apply(Probe{&tape, &lengths, &bytes}, y));  // silu keeps its operand: 32 KiB
      return dot(y, testing::random_matrix<double, Cpu>(64, 64, 2));
    }();
    CHECK(tape.size() == 2 * depth + 1);
    backward(loss);
    CHECK(tape.size() == 0);
  }
  REQUIRE(lengths.size() == depth);
  for (std::size_t i = 0; i < depth; ++i) CHECK(lengths[i] == 2 * (depth - 1 - i));
  for (std::size_t i = 1; i < depth; ++i) CHECK(bytes[i] + 32768 == bytes[i - 1]);
  CHECK(cpu::Memory::instance().use().used == before);
}

TEST_CASE("a tape that is dropped without a backward pass leaves nothing behind") {
  const std::size_t before = cpu::Memory::instance().use().used;
  {
    Tape tape;
    const auto x = tape.variable(testing::random_matrix<double, Cpu>(20, 20, 1));
    const auto y = multiply(silu(x), add(x, x));
    CHECK(tape.size() == 3);
    CHECK(cpu::Memory::instance().use().used > before);
  }
  CHECK(cpu::Memory::instance().use().used == before);
}

TEMPLATE_LIST_TEST_CASE("a forgetful tape marks variables and remembers nothing", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape = Tape::forgetful({5, 6}, 3);
  const auto x = tape.variable(three<TestType>(1, 2, 3));
  const auto y = multiply(x, x);
  static_assert(VariableLike<decltype(y)>);
  CHECK_FALSE(tape.recording());
  CHECK(tape.size() == 0);
  CHECK_FALSE(y.wanted());
  CHECK(to_host(y.value()) == Doubles{1, 4, 9});
  CHECK(tape.drawn() == 3);
}

TEMPLATE_LIST_TEST_CASE("a tape draws a stream of its own for every asker, and the same ones again", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape({1, 2}), other({1, 3}), again = Tape::replaying({1, 2}, 1), forgetful = Tape::forgetful({1, 2}, 1);
  const RandomStream first = tape.draw(), second = tape.draw();
  CHECK(first.stream != second.stream);
  CHECK(other.draw().stream != first.stream);
  for (Tape* twin : {&again, &forgetful}) {
    const RandomStream drawn = twin->draw();
    CHECK(drawn.seed == second.seed);
    CHECK(drawn.stream == second.stream);
    CHECK(twin->drawn() == 2);
  }
  again.skip_to(0);
  CHECK(again.draw().stream == first.stream);
  const auto x = testing::random_vector<double, TestType>(100, 1);
  Tape one({7, 1}), same({7, 1}), next({7, 2});
  const auto mask = [&](Tape& on) { return dropout(on.input(x), 0.5).value(); };
  const auto drawn = mask(one);
  CHECK(testing::same_bits(drawn, mask(same)));
  CHECK_FALSE(testing::same_bits(drawn, mask(one)));
  CHECK_FALSE(testing::same_bits(drawn, mask(next)));
}

TEMPLATE_LIST_TEST_CASE("a variable under another type shares its gradient", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto x = tape.variable(three<TestType>(1, 2, 3));
  const Variable<double, Shape<dyn>, TestType> free = x;
  const Variable<double, Shape<3>, TestType> fixed(free);
  CHECK(fixed.slot() == x.slot());
  CHECK_THROWS_AS((Variable<double, Shape<4>, TestType>(free)), ShapeError);
  backward(dot(add(x, free), fixed));  // sum of 2 x^2
  CHECK(to_host(x.gradient()) == Doubles{4, 8, 12});
}

TEMPLATE_LIST_TEST_CASE("a parameter put on a tape gets its gradient from there", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Parameter p(three<TestType>(1, 2, 3));
  Tape tape;
  const auto x = on_tape(p, tape);
  CHECK(x.slot() == p.slot());
  backward(dot(x, x));
  CHECK(to_host(p.gradient()) == Doubles{2, 4, 6});
  CHECK_FALSE(Parameter<double, Shape<3>, TestType>());
}

TEMPLATE_LIST_TEST_CASE("a variable that outlives its tape keeps its value and its gradient, and is refused elsewhere",
                        "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto values = three<TestType>(1, 2, 3);
  const auto [x, loss] = [&] {
    Tape tape;
    const auto leaf = tape.variable(values);
    const auto sum = dot(leaf, leaf);
    backward(sum);
    return std::pair{leaf, sum};
  }();
  CHECK(to_host(x.value()) == Doubles{1, 2, 3});
  CHECK(to_host(x.gradient()) == Doubles{2, 4, 6});
  CHECK_THROWS_AS(x.tape(), ArgumentError);
  CHECK_THROWS_AS(add(x, x), ArgumentError);
  CHECK_THROWS_WITH(backward(loss), Catch::Contains("tape"));
  Tape other;
  CHECK_THROWS_AS(add(x, other.input(values)), ArgumentError);
}

TEST_CASE("a tape that is moved takes its variables along") {
  const auto moved = [](Tape from) { return from.handle(); };
  const std::shared_ptr<Tape*> handle = moved(Tape::forgetful({1, 2}, 1));
  CHECK(*handle == nullptr);
  Tape tape = Tape::replaying({1, 2}, 0);
  CHECK(*tape.handle() == &tape);
}

}  // namespace tape_test
