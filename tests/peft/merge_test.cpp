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

namespace merge_test {

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
    const std::vector<float> change = to_host(a.delta().weight);
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

namespace {

/// Two layers in 4 bits, blocks that cross rows; an adapter on the first.
struct PackedPair {
  using Layer = Linear<WeightSlot<float, Shape<dyn, dyn>, Cpu>, AdapterSlot<LowRankAdapter<Cpu>>>;
  Layer up, down;
  static constexpr auto fields = std::tuple{field("up", &PackedPair::up), field("down", &PackedPair::down)};
};

using Packed = NF4Tensor<Shape<dyn, dyn>, Cpu>;

PackedPair packed_pair(const NF4Options& options = {}) {
  PackedPair model;
  model.up.weight = NF4Tensor(normal<float>(Shape<dyn, dyn>(30, 50), {60, 1}, 1.0, Cpu{}), options);
  model.down.weight = NF4Tensor(normal<float>(Shape<dyn, dyn>(20, 30), {60, 2}, 1.0, Cpu{}), options);
  model.up.adapter = adapter<float>(30, 50, 61);
  return model;
}

std::vector<float> values_of(const PackedPair::Layer& layer) { return to_host(layer.weight.dense_copy()); }

}  // namespace

TEST_CASE("a merge into 4 bits keeps block size and nesting, and reports the error that it makes") {
  for (const NF4Options& options : {NF4Options{}, NF4Options{.blocksize = 128, .double_quant = true}}) {
    auto model = packed_pair(options);
    const auto before = values_of(model.up), other = values_of(model.down);
    const auto change = to_host(model.up.adapter.get<LowRankAdapter<Cpu>>()->delta().weight);
    auto done = merge(model, {.keep = true});
    REQUIRE(done.weights.size() == 1);
    const auto* packed = std::get_if<Packed>(&model.up.weight.stored());
    REQUIRE(packed != nullptr);
    CHECK(packed->options().blocksize == options.blocksize);
    CHECK(packed->options().double_quant == options.double_quant);
    const auto after = values_of(model.up);
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < after.size(); ++i) {
      const double sum = static_cast<double>(before[i] + change[i]);
      error += (static_cast<double>(after[i]) - sum) * (static_cast<double>(after[i]) - sum);
      size += sum * sum;
    }
    CHECK(done.weights[0].packed);
    CHECK(done.weights[0].relative_error == Approx(std::sqrt(error / size)).epsilon(1e-6));
    CHECK(done.weights[0].relative_error > 0.05);
    CHECK(same_bits(values_of(model.down), other));
    unmerge(model, done);
    CHECK(same_bits(values_of(model.up), before));

    CHECK_THROWS_WITH(merge(model, {.max_error = 0.01}), Catch::Contains("up.weight would lose"));
    CHECK(model.up.adapter);
    CHECK(same_bits(values_of(model.up), before));
  }
}

TEST_CASE("a merge that makes weights dense rounds the sums once, and leaves nothing in 4 bits") {
  for (const QuantizedFrom type : {QuantizedFrom::float32, QuantizedFrom::float16, QuantizedFrom::bfloat16}) {
    auto model = packed_pair();
    const auto before = values_of(model.up), other = values_of(model.down);
    const auto change = to_host(model.up.adapter.get<LowRankAdapter<Cpu>>()->delta().weight);
    const auto done = merge(model, {.max_error = 0.0, .dequantize = type});
    REQUIRE(done.weights.size() == 2);
    CHECK_FALSE((done.weights[0].packed || done.weights[1].packed));
    CHECK_FALSE(model.up.weight.quantised());
    CHECK_FALSE(model.down.weight.quantised());
    const auto rounded = [type](float x) {
      if (type == QuantizedFrom::float16) return static_cast<float>(half(x));
      return type == QuantizedFrom::bfloat16 ? static_cast<float>(bfloat16(x)) : x;
    };
    const auto up = values_of(model.up), down = values_of(model.down);
    for (std::size_t i = 0; i < up.size(); ++i) CHECK(up[i] == rounded(before[i] + change[i]));
    for (std::size_t i = 0; i < down.size(); ++i) CHECK(down[i] == rounded(other[i]));
  }
}

TEST_CASE("a merge into 8 bits keeps the format, and loses a tenth of what one into 4 bits does") {
  auto model = packed_pair();
  const auto dense = model.up.weight.dense_copy();
  model.up.weight = Int8Tensor(dense, {.blocksize = 128});
  const auto before = values_of(model.up),
             change = to_host(model.up.adapter.get<LowRankAdapter<Cpu>>()->delta().weight);
  auto done = merge(model, {.keep = true});
  REQUIRE(done.weights.size() == 1);
  CHECK(done.weights[0].packed);
  CHECK(done.weights[0].relative_error < 0.02);
  const auto* coded = std::get_if<Int8Tensor<Shape<dyn, dyn>, Cpu>>(&model.up.weight.stored());
  REQUIRE(coded != nullptr);
  CHECK(coded->options().blocksize == 128);
  std::vector<float> sum(before);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += change[i];
  const Int8Tensor expected(from_host(Shape<dyn, dyn>(30, 50), sum, Cpu{}), {.blocksize = 128});
  CHECK(same_bits(values_of(model.up), to_host(decode(expected))));
  unmerge(model, done);
  CHECK(same_bits(values_of(model.up), before));
}

TEST_CASE("a weight in FP4 is not written: its merge is refused unless it is to be dense") {
  auto model = packed_pair();
  PackedParts<Cpu> parts = std::get<Packed>(model.up.weight.stored()).parts();
  parts.book = CodeBook::fp4;
  parts.values.assign(fp4_values.begin(), fp4_values.end());
  model.up.weight = Packed(Shape<dyn, dyn>(30, 50), parts);
  CHECK_THROWS_AS(merge(model), ArgumentError);
  CHECK_THROWS_WITH(merge(model),
                    Catch::Contains("up.weight") && Catch::Contains("FP4") && Catch::Contains("dequantize"));
  CHECK_NOTHROW(merge(model, {.dequantize = QuantizedFrom::bfloat16}));
}

}  // namespace merge_test
