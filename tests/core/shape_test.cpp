// SPDX-License-Identifier: Apache-2.0
#include "veneer/core/shape.hpp"

#include <limits>
#include <type_traits>

#include "support/catch.hpp"

namespace shape_test {

using namespace veneer;

namespace {

template <class From, class To>
constexpr bool implicit = std::is_convertible_v<From, To>;
template <class From, class To>
constexpr bool only_explicit = std::is_constructible_v<To, const From&> && !std::is_convertible_v<From, To>;
template <class From, class To>
constexpr bool impossible = !std::is_constructible_v<To, const From&>;

// Conversion to a dynamic extent is implicit, to a static one explicit; a contradiction or another rank is impossible.
static_assert(implicit<Shape<2, 3>, Shape<dyn, 3>>);
static_assert(implicit<Shape<2, 3>, Shape<dyn, dyn>>);
static_assert(implicit<Shape<dyn, 3>, Shape<dyn, dyn>>);
static_assert(only_explicit<Shape<dyn, 3>, Shape<2, 3>>);
static_assert(only_explicit<Shape<dyn, dyn>, Shape<2, 3>>);
static_assert(only_explicit<Shape<2, dyn>, Shape<dyn, 3>>);  // one becomes static, the other dynamic
static_assert(impossible<Shape<2, 3>, Shape<2, 4>>);
static_assert(impossible<Shape<2, dyn>, Shape<3, dyn>>);
static_assert(impossible<Shape<2>, Shape<2, 1>>);

// The constructor takes exactly the dynamic extents.
static_assert(std::is_constructible_v<Shape<dyn, 4>, int>);
static_assert(!std::is_constructible_v<Shape<dyn, 4>, int, int>);
static_assert(!std::is_constructible_v<Shape<3, 4>, int>);
static_assert(!std::is_constructible_v<Shape<dyn>, double>);
static_assert(!std::is_convertible_v<int, Shape<dyn>>);

// Static extents need no memory.
static_assert(std::is_empty_v<Shape<3, 4>>);
static_assert(std::is_empty_v<Shape<>>);
static_assert(sizeof(Shape<dyn, 4>) == sizeof(index_t));

static_assert(Shape<dyn, 4, dyn>::rank == 3 && Shape<dyn, 4, dyn>::dynamic_count == 2);
static_assert(Shape<3, 4>()[0] == 3 && Shape<3, 4>()[1] == 4 && Shape<3, 4>().count() == 12);
static_assert(Shape<dyn, 4, dyn>(5, 6)[0] == 5 && Shape<dyn, 4, dyn>(5, 6)[1] == 4 && Shape<dyn, 4, dyn>(5, 6)[2] == 6);
static_assert(Shape<>().count() == 1);
static_assert(Shape<dyn, 7>().count() == 0);

static_assert(extent_of<Shape<3, dyn, 5>, 0> == 3 && extent_of<Shape<3, dyn, 5>, -1> == 5);
static_assert(extent_of<Shape<3, dyn, 5>, -2> == dyn);
static_assert(SameExtent<3, 3> && SameExtent<3, dyn> && SameExtent<dyn, 3> && !SameExtent<3, 4>);
static_assert(std::is_same_v<unify_t<Shape<3, dyn, dyn>, Shape<dyn, dyn, 5>>, Shape<3, dyn, 5>>);
static_assert(std::is_same_v<dynamic_shape<3>, Shape<dyn, dyn, dyn>>);
static_assert(ShapeLike<Shape<2>> && ShapeLike<const Shape<2>&> && !ShapeLike<int>);

}  // namespace

TEST_CASE("a shape keeps its extents through every type that it may have") {
  const Shape<2, 3, 4> fixed;
  const Shape<dyn, 3, dyn> half = fixed;
  const Shape<dyn, dyn, dyn> free = half;
  CHECK(half == fixed);
  CHECK(free == fixed);
  CHECK(Shape<2, 3, 4>(free) == fixed);
  CHECK(Shape<2, dyn, dyn>(half) == fixed);
  CHECK(to_string(free) == "(2, 3, 4)");
  CHECK(free.count() == 24);
}

TEST_CASE("learning a wrong extent throws and names both shapes") {
  const Shape<dyn, dyn> found(2, 5);
  CHECK_THROWS_AS((Shape<2, 4>(found)), ShapeError);
  CHECK_THROWS_AS((Shape<dyn, 4>(found)), ShapeError);
  CHECK_THROWS_WITH((Shape<dyn, 4>(found)), Catch::Contains("(2, 4)") && Catch::Contains("(2, 5)"));
  CHECK_NOTHROW(Shape<dyn, 5>(found));
}

TEST_CASE("shape_of takes all extents and checks those that the type knows") {
  CHECK(shape_of<Shape<dyn, 4>>(2, 4) == Shape<2, 4>());
  CHECK(shape_of<Shape<2, 4>>(2, 4).count() == 8);
  CHECK_THROWS_AS((shape_of<Shape<dyn, 4>>(2, 5)), ShapeError);
}

TEST_CASE("shapes differ when an extent or the rank does") {
  CHECK_FALSE(Shape<dyn, dyn>(2, 3) == Shape<dyn, dyn>(3, 2));
  CHECK_FALSE(Shape<dyn>(6) == Shape<2, 3>());
  CHECK(Shape<dyn>(6) == Shape<6>());
}

TEST_CASE("an extent below 0 is refused") {
  CHECK_THROWS_AS(Shape<dyn>(-1), ShapeError);
  CHECK_THROWS_AS((Shape<dyn, 3, dyn>(2, -7)), ShapeError);
  CHECK(Shape<dyn>(0).count() == 0);
}

TEST_CASE("the number of elements is refused where it leaves 64 bits") {
  const index_t side = index_t{1} << 32;
  CHECK_THROWS_AS((Shape<dyn, dyn>(side, side).count()), ShapeError);
  CHECK(Shape<dyn, dyn>(side, side / 2 - 1).count() == side * (side / 2 - 1));
  CHECK(Shape<dyn>(std::numeric_limits<index_t>::max()).count() == std::numeric_limits<index_t>::max());
  CHECK_THROWS_WITH((Shape<dyn, dyn>(side, side).count()), Catch::Contains("(4294967296, 4294967296)"));
}

TEST_CASE("ceil_div is the least number of pieces that cover an extent, and round_up is what they cover") {
  for (index_t n = 0; n <= 40; ++n) {
    for (index_t k = 1; k <= 9; ++k) {
      index_t pieces = 0;
      while (pieces * k < n) ++pieces;
      CHECK(ceil_div(n, k) == pieces);
      CHECK(round_up(n, k) == pieces * k);
    }
  }
}

}  // namespace shape_test
