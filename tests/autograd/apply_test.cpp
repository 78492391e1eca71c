// SPDX-License-Identifier: Apache-2.0
#include "veneer/autograd/apply.hpp"

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace apply_test {

using namespace veneer;

namespace {

/// A log of an op: the number of runs of each part, and which tensors still had values when a pullback ran.
struct Log {
  int forward = 0, first = 0, second = 0, joint = 0;
  bool saw_result = false, saw_first = false, saw_second = false;

  void look(const auto& z, const auto& x, const auto& y) {
    saw_result = static_cast<bool>(z), saw_first = static_cast<bool>(x), saw_second = static_cast<bool>(y);
  }
};

/// z = x * y, with one pullback per operand, which reads the values in `Bits`.
template <unsigned Bits>
struct Watched {
  Log* log;
  auto forward(const auto& x, const auto& y) const {
    ++log->forward;
    return multiply(x, y);
  }
  auto pullback(Wrt<0>, const auto& dz, const auto& z, const auto& x, const auto& y) const {
    ++log->first;
    log->look(z, x, y);
    return dz;
  }
  auto pullback(Wrt<1>, const auto& dz, const auto& z, const auto& x, const auto& y) const {
    ++log->second;
    log->look(z, x, y);
    return dz;
  }
  static constexpr Reads reads(const RequiresGrad<2>&) { return {Bits}; }
};

/// z = x * y without `reads`: everything is kept.
struct Careless {
  Log* log;
  auto forward(const auto& x, const auto& y) const { return multiply(x, y); }
  template <int I>
  auto pullback(Wrt<I>, const auto& dz, const auto& z, const auto& x, const auto& y) const {
    log->look(z, x, y);
    return dz;
  }
};

/// y = x * w with a frozen w. There is no pullback with respect to w: that it compiles shows that none is instantiated.
struct FrozenFactor {
  Log* log;
  auto forward(const auto& x, const auto& w) const { return multiply(x, w); }
  auto pullback(Wrt<0>, const auto& dy, const auto&, const auto&, const auto& w) const {
    ++log->first;
    return multiply(dy, w);
  }
};

/// An op with both gradients at once, which keeps other values than its result, and takes an operand that is
/// not a value.
struct Joint {
  Log* log;
  auto forward(const auto& x, const auto& y, const std::shared_ptr<const std::string>& note) const {
    return Forward{multiply(x, y), std::tuple{add(x, y), *note}};
  }
  auto pullbacks(const RequiresGrad<3>& wanted, const auto& dz, const auto& kept, const auto& x, const auto& y,
                 const std::shared_ptr<const std::string>& note) const {
    ++log->joint;
    log->look(std::get<0>(kept), x, y);
    log->first += wanted[0], log->second += wanted[1];
    CHECK(std::get<1>(kept) == *note);
    CHECK_FALSE(wanted[2]);
    return std::tuple{multiply(dz, y), multiply(dz, x), NoGradient{}};
  }
};

/// An op that rounds to integers, which have no gradient.
struct Whole {
  template <TensorLike X>
  auto forward(const X& x) const {
    return convert<std::int32_t>(x);
  }
  auto pullback(Wrt<0>, const auto&, const auto&...) const { return NoGradient{}; }
};

template <Backend B>
auto pair_of(std::uint64_t seed) {
  return testing::random<double, B>(Shape<4>{}, seed);
}

static_assert(Differentiable<Parameter<float, Shape<2>, Cpu>> && Differentiable<Variable<double, Shape<2>, Cpu>>);
static_assert(!Differentiable<Tensor<float, Shape<2>, Cpu>> && !Differentiable<Variable<std::int32_t, Shape<2>, Cpu>>);
static_assert(Differentiable<Variable<bfloat16, Shape<2>, Cpu>> && !Differentiable<int>);

static_assert((Reads::operand(0) | Reads::result()).has(Reads::result()) && !Reads::operand(0).has(Reads::operand(1)));
static_assert(!Reads::operand(1).when(false).has(Reads::operand(1)) && Reads::everything().has(Reads::operand(7)));

}  // namespace

TEMPLATE_LIST_TEST_CASE("an op on tensors is its forward, and a tensor", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Log log;
  const auto x = pair_of<TestType>(1), y = pair_of<TestType>(2);
  const auto z = apply(Watched<0>{&log}, x, y);
  static_assert(TensorLike<decltype(z)>);
  CHECK(testing::same_bits(z, multiply(x, y)));
  CHECK(log.forward == 1);
  const auto of_parameter = apply(Watched<0>{&log}, x, Parameter(y));  // inference on a trained weight
  static_assert(TensorLike<decltype(of_parameter)>);
  const auto kept = apply(Joint{&log}, x, y, std::make_shared<const std::string>("note"));
  static_assert(
      std::is_same_v<decltype(kept), decltype(z)>);  // the value, without the values that its pullbacks would need
}

TEMPLATE_LIST_TEST_CASE("the gradient of a first layer's input is never computed", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Log log;
  Tape tape;
  Parameter w(pair_of<TestType>(2));
  const auto y = apply(Watched<~0u>{&log}, tape.input(pair_of<TestType>(1)), w);
  backward(dot(y, pair_of<TestType>(3)));
  CHECK(log.first == 0);
  CHECK(log.second == 1);
  CHECK(w.gradient());
}

TEMPLATE_LIST_TEST_CASE("a frozen operand has no gradient and no pullback", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Log log;
  Tape tape;
  const auto x = tape.variable(pair_of<TestType>(1));
  const auto w = pair_of<TestType>(2), c = pair_of<TestType>(3);
  const auto before = to_host(w);
  const auto y = apply(FrozenFactor{&log}, x, w);
  backward(dot(y, c));
  CHECK(log.first == 1);
  CHECK(testing::same_bits(x.gradient(), multiply(c, w)));
  CHECK(to_host(w) == before);
  CHECK(w.unique());  // the tape has released it
}

TEMPLATE_LIST_TEST_CASE("each pullback runs once, for those that want it", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto c = pair_of<TestType>(3);
  for (const bool first : {false, true}) {
    for (const bool second : {false, true}) {
      Log log;
      Tape tape;
      const auto value = [&](bool wanted, std::uint64_t seed) {
        return wanted ? tape.variable(pair_of<TestType>(seed)) : tape.input(pair_of<TestType>(seed));
      };
      const auto x = value(first, 1), y = value(second, 2);
      backward(dot(apply(Watched<~0u>{&log}, x, y), c));
      CHECK(log.first == (first ? 1 : 0));
      CHECK(log.second == (second ? 1 : 0));
      CHECK(static_cast<bool>(x.gradient()) == first);
      CHECK(static_cast<bool>(y.gradient()) == second);
    }
  }
}

TEMPLATE_LIST_TEST_CASE("an op whose result nobody uses costs nothing in the backward pass", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Log log;
  Tape tape;
  const auto x = tape.variable(pair_of<TestType>(1));
  const auto unused = apply(Watched<~0u>{&log}, x, x);
  backward(dot(x, pair_of<TestType>(2)));
  CHECK(unused.wanted());
  CHECK(log.first + log.second == 0);
}

TEMPLATE_LIST_TEST_CASE("reads says what the tape keeps; of the rest the shape alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto seen = [](const auto& op, const Log& log) {
    Tape tape;
    const auto c = pair_of<TestType>(3);
    const auto x = tape.variable(pair_of<TestType>(1)), y = tape.variable(pair_of<TestType>(2));
    backward(dot(apply(op, x, y), c));
    return std::vector<bool>{log.saw_result, log.saw_first, log.saw_second};
  };
  Log log;
  using Seen = std::vector<bool>;
  CHECK(seen(Watched<Reads::nothing().bits>{&log}, log) == Seen{false, false, false});
  CHECK(seen(Watched<Reads::result().bits>{&log}, log) == Seen{true, false, false});
  CHECK(seen(Watched<Reads::operand(0).bits>{&log}, log) == Seen{false, true, false});
  CHECK(seen(Watched<Reads::operand(1).bits>{&log}, log) == Seen{false, false, true});
  CHECK(seen(Careless{&log}, log) == Seen{true, true, true});
}

TEMPLATE_LIST_TEST_CASE("an operand that is not read dies with its owner", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Log log;
  Tape tape;
  const auto x = tape.variable(pair_of<TestType>(1));
  auto read = scale(x, 2.0), unread = scale(x, 3.0);
  const std::weak_ptr<double> kept = read.value().share(), gone = unread.value().share();
  const auto z = apply(Watched<Reads::operand(0).bits>{&log}, read, unread);
  read = unread = x;
  CHECK_FALSE(kept.expired());
  CHECK(gone.expired());
  backward(dot(z, pair_of<TestType>(2)));
  CHECK(kept.expired());
}

TEMPLATE_LIST_TEST_CASE("gradients made together reach those that want them", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto note = std::make_shared<const std::string>("note");
  const auto c = pair_of<TestType>(3);
  for (const bool second : {false, true}) {
    Log log;
    Tape tape;
    const auto x = tape.variable(pair_of<TestType>(1));
    const auto y = second ? tape.variable(pair_of<TestType>(2)) : tape.input(pair_of<TestType>(2));
    backward(dot(apply(Joint{&log}, x, y, note), c));
    CHECK(log.joint == 1);
    CHECK(log.saw_result);
    CHECK(log.second == (second ? 1 : 0));
    CHECK(testing::same_bits(x.gradient(), multiply(c, y.value())));
    if (second) {
      CHECK(testing::same_bits(y.gradient(), multiply(c, x.value())));
    } else {
      CHECK_FALSE(y.gradient());
    }
  }
}

TEMPLATE_LIST_TEST_CASE("whole numbers on a tape have no gradient", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Tape tape;
  const auto ids = tape.input(testing::vector_of<TestType>(std::vector<std::int32_t>{1, 2}));
  CHECK_FALSE(ids.wanted());
  const auto cut = apply(Whole{}, tape.variable(testing::vector_of<TestType>(std::vector<double>{1.5, -2.5})));
  CHECK(to_host(cut.value()) == std::vector<std::int32_t>{1, -2});
}

TEMPLATE_LIST_TEST_CASE("operands without values, and operands on two tapes, are refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Tensor<float, Shape<2, 3>, TestType> forgotten;
  const auto x = testing::random_matrix<float, TestType>(2, 3, 1);
  CHECK_THROWS_AS(multiply(x, forgotten), ArgumentError);
  CHECK_THROWS_AS(scale(forgotten, 2.0f), ArgumentError);
  const auto empty = zeros<float>(Shape<dyn, dyn>(0, 3), TestType{});
  CHECK_NOTHROW(scale(empty, 2.0f));

  Tape first, second;
  const auto a = first.variable(x), b = second.variable(x);
  CHECK_THROWS_AS(multiply(a, b), ArgumentError);
  CHECK_NOTHROW(multiply(a, a));
}

}  // namespace apply_test
