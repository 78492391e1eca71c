// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/merge.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include "veneer/backend/cpu.hpp"

#include "support/catch.hpp"

using namespace veneer;

namespace {

/// Extents and storage fixed by the type, adapters chosen at run time.
template <Real T, Stored U>
struct Pair {
  using Slot = AdapterSlot<LowRankAdapter<Cpu, dyn, T>>;
  Linear<Tensor<U, Shape<6, 5>, Cpu>, Slot, Tensor<T, Shape<6>, Cpu>> up;
  Linear<Tensor<U, Shape<3, 6>, Cpu>, Slot> down;

  auto operator()(const auto& x) const { return down(silu(up(x))); }
  static constexpr auto fields = std::tuple{field("up", &Pair::up), field("down", &Pair::down)};
};

template <Real T, Stored U>
Pair<T, U> pair() {
  Pair<T, U> model;
  model.up.weight = convert<U>(normal<T>(Shape<6, 5>{}, {1, 1}, 1.0, Cpu{}));
  model.up.bias = normal<T>(Shape<6>{}, {1, 2}, 1.0, Cpu{});
  model.down.weight = convert<U>(normal<T>(Shape<3, 6>{}, {1, 3}, 1.0, Cpu{}));
  return model;
}

/// An adapter that does something.
template <Real T>
LowRankAdapter<Cpu, dyn, T> adapter(index_t out, index_t in, std::uint64_t seed) {
  LowRankAdapter<Cpu, dyn, T> a(Shape<dyn, dyn>(out, in), {.alpha = 3.0}, {seed, 1}, 2);
  a.up = Parameter(normal<T>(Shape<dyn, dyn>(out, 2), {seed, 2}, 0.5, Cpu{}));
  return a;
}

template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("a merged model computes what the adapted one did, and unmerging gives every bit back", "", float,
                   double) {
  using T = TestType;
  auto model = pair<T, T>();
  const auto x = normal<T>(Shape<dyn, 5>(4), {9, 1}, 1.0, Cpu{});
  const auto base = to_host(model(x));
  model.up.adapter = adapter<T>(6, 5, 20);
  model.down.adapter = adapter<T>(3, 6, 21);
  auto biased = adapter<T>(6, 5, 20);
  biased.bias = Parameter(normal<T>(Shape<dyn>(6), {22, 1}, 1.0, Cpu{}));
  model.up.adapter = biased;
  const auto adapted = to_host(model(x));
  REQUIRE(largest_difference(adapted, base) > 0.1);
  const auto up = to_host(model.up.weight);

  auto done = merge(model, {.keep = true});
  CHECK_FALSE(model.up.adapter);
  CHECK_FALSE(model.down.adapter);
  CHECK(largest_difference(to_host(model(x)), adapted) < (std::is_same_v<T, float> ? 1e-5 : 1e-13));
  REQUIRE(done.weights.size() == 3);
  CHECK(done.weights[0].name == "up.bias");
  CHECK(done.weights[1].name == "up.weight");
  CHECK(done.weights[1].largest_change == Approx(largest_difference(to_host(model.up.weight), up)));
  CHECK(done.weights[2].name == "down.weight");
  CHECK(trainable_count(model) == 0);

  unmerge(model, done);
  CHECK(same_bits(to_host(model.up.weight), up));
  CHECK(same_bits(to_host(model(x)), adapted));
  CHECK_THROWS_AS(unmerge(model, done), ArgumentError);
  model.up.adapter.clear();
  model.down.adapter.clear();
  CHECK(same_bits(to_host(model(x)), base));
}

TEMPLATE_TEST_CASE("16-bit storage is kept, and each kind of rounding is what it says", "", bfloat16, half) {
  using U = TestType;
  for (const Rounding rounding : {Rounding::once, Rounding::twice}) {
    auto model = pair<float, U>();
    const auto a = adapter<float>(3, 6, 30);
    model.down.adapter = a;
    const std::vector<U> before = to_host(model.down.weight);
    const std::vector<float> change = to_host(a.delta());
    const auto done = merge(model, {.rounding = rounding});
    const std::vector<U> after = to_host(model.down.weight);
    double farthest = 0.0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      const float addend = rounding == Rounding::twice ? static_cast<float>(U(change[i])) : change[i];
      const float sum = static_cast<float>(before[i]) + addend;
      CHECK(after[i].bits == U(sum).bits);
      farthest =
          std::max(farthest, std::abs(static_cast<double>(static_cast<float>(after[i])) - static_cast<double>(sum)));
    }
    REQUIRE(done.weights.size() == 1);
    CHECK(done.weights[0].largest_rounding == farthest);
    CHECK(farthest > 0.0);
  }
}

TEST_CASE("a merge that fails leaves the model as it was, also in layers before the one that fails") {
  auto model = pair<float, float>();
  model.up.adapter = adapter<float>(6, 5, 40);
  auto broken = adapter<float>(3, 6, 41);
  broken.up.value().data()[4] = std::numeric_limits<float>::quiet_NaN();
  model.down.adapter = broken;
  const auto up = to_host(model.up.weight), down = to_host(model.down.weight);
  CHECK_THROWS_AS(merge(model), DivergedError);
  CHECK_THROWS_WITH(merge(model), Catch::Contains("down.weight"));
  CHECK(same_bits(to_host(model.up.weight), up));
  CHECK(same_bits(to_host(model.down.weight), down));
  CHECK(model.up.adapter);
  CHECK(model.down.adapter);

  auto biased = adapter<float>(3, 6, 42);
  biased.bias = Parameter(zeros<float>(Shape<dyn>(3), Cpu{}));
  model.down.adapter = biased;
  CHECK_THROWS_AS(merge(model), ArgumentError);
  CHECK_THROWS_WITH(merge(model), Catch::Contains("down: lora_B has a bias"));
  CHECK(same_bits(to_host(model.up.weight), up));
}

TEST_CASE("merging twice is merging once, and a model without adapters has nothing to merge") {
  auto model = pair<float, float>();
  CHECK(merge(model).weights.empty());
  model.up.adapter = adapter<float>(6, 5, 50);
  CHECK(merge(model).weights.size() == 1);
  const auto merged = to_host(model.up.weight);
  auto again = merge(model);
  CHECK(again.weights.empty());
  CHECK(same_bits(to_host(model.up.weight), merged));
  CHECK_THROWS_AS(unmerge(model, again), ArgumentError);
}
