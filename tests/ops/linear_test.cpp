// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/linear.hpp"

#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace linear_test {

using namespace veneer;

namespace {

template <index_t... Extents>
using Floats = Tensor<float, Shape<Extents...>, Cpu>;
template <class X, class W>
using Product = decltype(linear(std::declval<X>(), std::declval<W>()));

// The type of a product knows what its operands know.
static_assert(std::is_same_v<Product<Floats<dyn, 4>, Floats<7, 4>>, Floats<dyn, 7>>);
static_assert(std::is_same_v<Product<Floats<3, dyn>, Floats<dyn, dyn>>, Floats<3, dyn>>);
static_assert(std::is_same_v<Product<Floats<dyn, 4>, Tensor<bfloat16, Shape<7, 4>, Cpu>>, Floats<dyn, 7>>);
static_assert(
    std::is_same_v<decltype(low_rank_linear(std::declval<Floats<dyn, 4>>(), std::declval<Floats<7, 4>>(),
                                            std::declval<Floats<dyn, 4>>(), std::declval<Floats<7, dyn>>(), 1.0)),
                   Floats<dyn, 7>>);

static_assert(FrozenWeight<Floats<7, 4>> && FrozenWeight<Tensor<veneer::half, Shape<7, 4>, Cpu>>);
static_assert(Weight<Parameter<float, Shape<7, 4>, Cpu>> && !FrozenWeight<Parameter<float, Shape<7, 4>, Cpu>>);
static_assert(!Weight<Tensor<std::int32_t, Shape<7, 4>, Cpu>> && !Weight<int>);

struct AbsoluteBody {
  double* x;
  VENEER_HD void operator()(index_t i) const { x[i] = x[i] < 0 ? -x[i] : x[i]; }
};

/// |x|, in double.
template <TensorLike X>
auto absolute(const X& x) {
  auto y = copy(convert<double>(x));
  y.device().for_each(y.count(), AbsoluteBody{y.data()});
  return y;
}

template <Real T, Backend B>
struct Adapted {
  static constexpr double scale = 0.7;
  Matrix<T, B> x, w, a, b;

  Adapted(index_t tokens, index_t in, index_t out, index_t rank)
      : x(testing::random_matrix<T, B>(tokens, in, 1)),
        w(testing::random_matrix<T, B>(out, in, 2)),
        a(testing::random_matrix<T, B>(rank, in, 3)),
        b(testing::random_matrix<T, B>(out, rank, 4)) {}

  /// A bound on the error of a result in T: every sum has at most in + rank + 2 roundings, of terms of these sizes.
  double bound() const {
    const double size = testing::largest(low_rank_linear(absolute(x), absolute(w), absolute(a), absolute(b), scale));
    return static_cast<double>(x.extent(1) + a.extent(0) + 2) * std::numeric_limits<T>::epsilon() * size;
  }
};

struct Fused {
  auto operator()(const auto& x, const auto& w, const auto& a, const auto& b, double s) const {
    return low_rank_linear(x, w, a, b, s);
  }
};
struct Composed {
  auto operator()(const auto& x, const auto& w, const auto& a, const auto& b, double s) const {
    return add(linear(x, w), scale(linear(linear(x, a), b), s));
  }
};

struct Extents {
  index_t tokens, in, out, rank;
};
constexpr Extents extents[] = {{1, 1, 1, 1}, {5, 33, 17, 4}, {130, 70, 90, 16}, {3, 4, 2, 9}, {0, 4, 2, 1}};

/// dx, dw, da, db of dot(f(...), c).
template <class F, Real T, Backend B>
std::vector<Matrix<T, B>> slopes(const F& f, const Adapted<T, B>& p) {
  Tape tape;
  const auto x = tape.variable(p.x), w = tape.variable(p.w), a = tape.variable(p.a), b = tape.variable(p.b);
  backward(dot(f(x, w, a, b, p.scale), testing::random_matrix<T, B>(p.x.extent(0), p.w.extent(0), 9)));
  return {x.gradient(), w.gradient(), a.gradient(), b.gradient()};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("linear is the product with the transposed weight", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto w = testing::matrix_of<TestType>(2, 3, std::vector<float>{1, 0, -1, 2, 1, 0});
  CHECK(to_host(linear(x, w)) == std::vector<float>{-2, 4, -2, 13});
  CHECK(linear(Matrix<float, TestType>(Shape<dyn, dyn>(0, 3)), w).shape() == Shape<0, 2>{});
}

TEMPLATE_LIST_TEST_CASE("a linear map is linear", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(6, 20, 1),
             y = testing::random_matrix<double, TestType>(6, 20, 2);
  const auto w = testing::random_matrix<double, TestType>(9, 20, 3),
             v = testing::random_matrix<double, TestType>(9, 20, 4);
  CHECK(testing::largest_difference(linear(add(scale(x, 3.0), y), w), add(scale(linear(x, w), 3.0), linear(y, w))) <
        1e-13);
  CHECK(testing::largest_difference(linear(x, add(w, v)), add(linear(x, w), linear(x, v))) < 1e-13);
}

TEMPLATE_LIST_TEST_CASE("the low-rank companion is the sum of its two products", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const Extents& e : extents) {
    CAPTURE(e.tokens, e.in, e.out, e.rank);
    const Adapted<double, TestType> exact(e.tokens, e.in, e.out, e.rank);
    const auto compare = [](const auto& p) {
      return testing::largest_difference(Fused{}(p.x, p.w, p.a, p.b, p.scale), Composed{}(p.x, p.w, p.a, p.b, p.scale));
    };
    CHECK(compare(exact) <= 1e-12);
    const Adapted<float, TestType> single(e.tokens, e.in, e.out, e.rank);
    CHECK(compare(single) <= 2 * single.bound());
  }
}

TEMPLATE_LIST_TEST_CASE("gradients of the low-rank companion are those of its composed twin", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const Extents& e : extents) {
    CAPTURE(e.tokens, e.in, e.out, e.rank);
    const Adapted<double, TestType> p(e.tokens, e.in, e.out, e.rank);
    const auto fused = slopes(Fused{}, p), composed = slopes(Composed{}, p);
    for (std::size_t i = 0; i < 4; ++i) {
      CAPTURE(i);
      CHECK(testing::largest_difference(fused[i], composed[i]) <= 1e-12 * std::max(1.0, testing::largest(composed[i])));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("16-bit weights count as their widened values, forward and back", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Adapted<float, TestType> p(5, 12, 7, 3);
  const auto narrow = convert<bfloat16>(p.w);
  const auto wide = convert<float>(narrow);
  CHECK(testing::same_bits(linear(p.x, narrow), linear(p.x, wide)));
  CHECK(decode(wide).data() == wide.data());
  const auto run = [&](const auto& w) {
    Tape tape;
    const auto x = tape.variable(p.x), a = tape.variable(p.a), b = tape.variable(p.b);
    const auto y = low_rank_linear(x, w, a, b, p.scale);
    backward(dot(y, y.value()));
    return std::vector<Matrix<float, TestType>>{y.value(), x.gradient(), a.gradient(), b.gradient()};
  };
  const auto found = run(narrow), expected = run(wide);
  for (std::size_t i = 0; i < 4; ++i) CHECK(testing::same_bits(found[i], expected[i]));
}

TEMPLATE_LIST_TEST_CASE(
    "the gradient of a float factor next to 16-bit activations is a float sum, rounded nowhere else", "",
    testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Adapted<float, TestType> p(5, 12, 7, 3);
  constexpr double scale = 0.5;  // exact in any storage, wherever it is multiplied
  const auto check = [&]<class U>(U) {
    const auto x = convert<U>(p.x), w = convert<U>(p.w),
               c = convert<U>(testing::random_matrix<float, TestType>(5, 7, 40));
    const auto a = convert<float>(convert<U>(p.a)), b = convert<float>(convert<U>(p.b));
    Parameter down(a), up(b);
    Tape tape;
    backward(dot(low_rank_linear(tape.input(x), w, down, up, scale), c));
    static_assert(std::is_same_v<typename std::remove_cvref_t<decltype(up.gradient())>::scalar, float>);
    // db = s cᵀ z with z = x aᵀ, and da = dzᵀ x with dz = s c b: z and dz are stored in 16 bits
    const auto z = convert<double>(linear(x, convert<U>(a))), dy = convert<double>(c), wide_x = convert<double>(x);
    Matrix<double, TestType> db(Shape<dyn, dyn>(7, 3), x.device()), dz(Shape<dyn, dyn>(5, 3), x.device()),
        da(Shape<dyn, dyn>(3, 12), x.device());
    ops::matmul<true, false>(db, dy, z, scale);
    ops::matmul<false, false>(dz, dy, convert<double>(b), scale);
    ops::matmul<true, false>(da, convert<double>(convert<U>(convert<float>(dz))), wide_x);
    CHECK(testing::largest_difference(convert<double>(up.gradient()), db) <= 1e-5 * testing::largest(db));
    CHECK(testing::largest_difference(convert<double>(down.gradient()), da) <= 1e-5 * testing::largest(da));
  };
  check(bfloat16{}), check(veneer::half{});
}

TEST_CASE("no buffer of a frozen weight's size is made in the backward pass") {
  constexpr index_t out = 256, in = 256;
  cpu::Memory& memory = cpu::Memory::instance();
  const auto w = testing::random_matrix<float, Cpu>(out, in, 1);
  Parameter a(testing::random_matrix<float, Cpu>(2, in, 2)), b(testing::random_matrix<float, Cpu>(out, 2, 3));
  Tape tape;
  const auto x = tape.variable(testing::random_matrix<float, Cpu>(4, in, 4));
  const auto y = low_rank_linear(linear(x, w), w, a, b, 1.0);
  const auto loss = dot(y, y.value());
  const std::size_t before = memory.use().used;
  memory.reset_peak();
  backward(loss);
  CHECK(a.gradient());
  CHECK(x.gradient());
  CHECK(memory.use().peak - before < out * in * sizeof(float));
}

TEMPLATE_LIST_TEST_CASE("extents that do not fit are refused with a sentence and both shapes", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto m = [](index_t rows, index_t columns) {
    return testing::random_matrix<float, TestType>(rows, columns, 1);
  };
  CHECK_THROWS_AS(linear(m(2, 3), m(4, 5)), ShapeError);
  CHECK_THROWS_WITH(
      linear(m(2, 3), m(4, 5)),
      "veneer::linear(x, w): the last extent of x must equal the last extent of w; they are (2, 3) and (4, 5)");
  const auto refuses = [&](const auto& w, const auto& a, const auto& b, const char* sentence) {
    CHECK_THROWS_AS(low_rank_linear(m(2, 3), w, a, b, 1.0), ShapeError);
    CHECK_THROWS_WITH(low_rank_linear(m(2, 3), w, a, b, 1.0), Catch::Contains(sentence));
  };
  refuses(m(4, 9), m(2, 3), m(4, 2), "the last extent of x must equal the last extent of w");
  refuses(m(4, 3), m(2, 9), m(4, 2), "the last extent of x must equal the last extent of a");
  refuses(m(4, 3), m(2, 3), m(9, 2), "the first extent of w must equal the first extent of b");
  refuses(m(4, 3), m(2, 3), m(4, 9), "the rank of a must equal the rank of b; they are (2, 3) and (4, 9)");
}

}  // namespace linear_test
