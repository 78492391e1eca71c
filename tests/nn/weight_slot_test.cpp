// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/weight_slot.hpp"

#include <type_traits>
#include <variant>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace weight_slot_test {

using namespace veneer;

namespace {

template <Backend B>
using Slot = WeightSlot<float, Shape<dyn, 3>, B>;

/// The type passed by select: 0 float, 1 bfloat16, 2 half, 3 a parameter.
template <class S>
int kind(const S& slot) {
  return slot.select_stored([](const auto& w) {
    using W = std::remove_cvref_t<decltype(w)>;
    if constexpr (ParameterLike<W>) return 3;
    return std::is_same_v<typename W::scalar, bfloat16> ? 1 : std::is_same_v<typename W::scalar, veneer::half> ? 2 : 0;
  });
}

static_assert(std::is_convertible_v<Tensor<bfloat16, Shape<2, 3>, Cpu>, Slot<Cpu>>);

}  // namespace

TEMPLATE_LIST_TEST_CASE("a slot gives out what was stored, in its storage", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(2, 3, 1);
  const Slot<TestType> single = w, narrow = convert<bfloat16>(w), half_narrow = convert<veneer::half>(w);
  CHECK(kind(single) == 0);
  CHECK(kind(narrow) == 1);
  CHECK(kind(half_narrow) == 2);
  CHECK(narrow.shape() == Shape<2, 3>{});
  CHECK(narrow.extent(-1) == 3);
  CHECK(narrow.count() == 6);
  CHECK(testing::same_bits(narrow.dense_copy(), convert<float>(convert<bfloat16>(w))));
  CHECK(std::get<1>(single.stored()).data() == w.data());
  CHECK(single.dense_copy().data() != w.data());
  CHECK_THROWS_AS(Slot<TestType>(testing::random_matrix<float, TestType>(2, 4, 1)), ShapeError);
}

TEMPLATE_LIST_TEST_CASE("a trained copy stands before what was stored, and leaves it alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = convert<bfloat16>(testing::random_matrix<float, TestType>(2, 3, 1));
  Slot<TestType> slot = w;
  slot.train();
  CHECK(slot.trainable());
  CHECK(kind(slot) == 3);
  CHECK(testing::same_bits(slot.parameter().value(), convert<float>(w)));
  fill(slot.parameter().value(), 5.0f);
  CHECK(testing::same_bits(slot.dense_copy(), full<float, TestType>(Shape<2, 3>{}, 5.0f)));
  CHECK(testing::same_bits(std::get<2>(slot.stored()), w));
  slot.train();  // again: it goes on training
  CHECK(testing::same_bits(slot.dense_copy(), full<float, TestType>(Shape<2, 3>{}, 5.0f)));
  slot.freeze();
  CHECK_FALSE(slot.trainable());
  CHECK(kind(slot) == 1);
  CHECK(testing::same_bits(slot.dense_copy(), convert<float>(w)));
}

TEMPLATE_LIST_TEST_CASE("a widened slot keeps its values, and keeps new ones whole", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Matrix = Tensor<float, Shape<dyn, 3>, TestType>;
  const Matrix w(testing::random_matrix<float, TestType>(2, 3, 1)),
      trained(testing::random_matrix<float, TestType>(2, 3, 2));
  const auto narrow = convert<bfloat16>(w);
  Slot<TestType> frozen = narrow, trains = narrow, empty;
  trains.train();
  trains.parameter().value() = copy(trained);
  for (Slot<TestType>* slot : {&frozen, &trains, &empty}) slot->widen();
  CHECK(testing::same_bits(std::get<1>(frozen.stored()), convert<float>(narrow)));
  CHECK(testing::same_bits(frozen.with_values(trained).dense_copy(), trained));
  CHECK(testing::same_bits(trains.dense_copy(), trained));
  CHECK(testing::same_bits(trains.with_values(trained).dense_copy(), trained));
  CHECK_FALSE(empty);
}

TEMPLATE_LIST_TEST_CASE("where what was stored is dropped, the trained values are kept when it freezes", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Slot<TestType> slot = testing::random_matrix<float, TestType>(2, 3, 1);
  slot.train(true);
  CHECK(std::holds_alternative<std::monostate>(slot.stored()));
  CHECK(slot);
  fill(slot.parameter().value(), 5.0f);
  slot.freeze();
  CHECK(kind(slot) == 0);
  CHECK(testing::same_bits(slot.dense_copy(), full<float, TestType>(Shape<2, 3>{}, 5.0f)));
}

TEMPLATE_LIST_TEST_CASE("an empty slot says that it is empty", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Slot<TestType> slot;
  CHECK_FALSE(slot);
  CHECK_FALSE(present(slot));
  CHECK_THROWS_AS(slot.shape(), ArgumentError);
  CHECK_THROWS_AS(slot.dense_copy(), ArgumentError);
}

TEMPLATE_LIST_TEST_CASE("a slot may have a shape before it has values, and may be made trainable then", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  Slot<TestType> slot = Tensor<float, Shape<dyn, 3>, TestType>(Shape<dyn, 3>(2), TestType{}, nullptr);
  CHECK(present(slot));
  CHECK(slot.count() == 6);
  slot.train();
  CHECK(slot.trainable());
  CHECK(slot.shape() == Shape<2, 3>{});
  CHECK_FALSE(slot.parameter());  // no values: nothing to optimise yet
}

TEMPLATE_LIST_TEST_CASE("new values are stored as the old ones were", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(2, 3, 1), v = testing::random_matrix<float, TestType>(2, 3, 2);
  const Tensor<float, Shape<dyn, 3>, TestType> fresh(v);
  CHECK(testing::same_bits(Slot<TestType>(convert<bfloat16>(w)).with_values(fresh).dense_copy(),
                           convert<float>(convert<bfloat16>(v))));
  CHECK(testing::same_bits(Slot<TestType>(w).with_values(fresh).dense_copy(), v));
  CHECK(testing::same_bits(Slot<TestType>().with_values(fresh).dense_copy(), v));
}

TEMPLATE_LIST_TEST_CASE("a slot of matrices holds 4-bit weights too, trains their values, and stores new ones so", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Packed = NF4Tensor<Shape<dyn, dyn>, TestType>;
  const auto w = testing::random_matrix<float, TestType>(6, 64, 1),
             v = testing::random_matrix<float, TestType>(6, 64, 2);
  const Packed packed(w, {.blocksize = 32, .double_quant = true});
  Slot<TestType> other;  // of 3 columns
  CHECK_THROWS_AS(other = Slot<TestType>(packed), ShapeError);
  WeightSlot<float, Shape<dyn, dyn>, TestType> slot = packed;
  CHECK(slot.shape() == Shape<6, 64>{});
  CHECK(testing::same_bits(slot.dense_copy(), decode(packed)));
  CHECK(slot.select_stored([](const auto& kept) { return NF4TensorLike<decltype(kept)>; }));
  slot.train();
  CHECK(testing::same_bits(slot.parameter().value(), decode(packed)));
  slot.freeze();
  const auto renewed = slot.with_values(Matrix<float, TestType>(v));
  const auto* stored = std::get_if<Packed>(&renewed.stored());
  REQUIRE(stored != nullptr);
  CHECK(stored->options().blocksize == 32);
  CHECK(stored->options().double_quant);
  CHECK(testing::same_bits(decode(*stored), decode(Packed(v, {.blocksize = 32, .double_quant = true}))));
}

TEMPLATE_LIST_TEST_CASE("a slot of matrices holds every quantised format: what computes with it sees its dense values",
                        "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  using Slot = WeightSlot<float, Shape<dyn, dyn>, TestType>;
  const auto w = testing::random_matrix<float, TestType>(30, 50, 1),
             v = testing::random_matrix<float, TestType>(30, 50, 2),
             x = testing::random_matrix<float, TestType>(20, 50, 3),
             a = testing::random_matrix<float, TestType>(2, 50, 4),
             b = testing::random_matrix<float, TestType>(30, 2, 5);
  const auto ids = testing::vector_of<TestType>(std::vector<std::int32_t>{29, 0, 3});
  for (const QuantizeOptions& options : quantized_formats()) {
    INFO(format_name(options));
    Slot slot = quantised<Slot>(w, options);
    CHECK(slot.quantised());
    const auto dense = slot.dense_copy();
    CHECK(testing::largest_difference(dense, w) < 0.6);  // half the widest gap of NF4, times the largest value
    const auto results = [&](const auto& weight) {
      return std::vector<Matrix<float, TestType>>{
          linear(x, weight), low_rank_linear(x, weight, a, b, 0.5), embedding(ids, weight),
          low_rank_norms<false>(weight, ops::squared_norms<false>(weight), a, b, 0.5).reshape(Shape<dyn, dyn>(30, 1))};
    };
    const auto expected = results(dense);
    slot.select([&](const auto& weight) {
      if constexpr (!ParameterLike<decltype(weight)>) {
        const auto found = results(weight);
        for (std::size_t i = 0; i < found.size(); ++i) CHECK(testing::same_bits(found[i], expected[i]));
      }
      return 0;
    });
    slot.widen();
    CHECK(slot.quantised());
    CHECK(testing::same_bits(slot.with_values(v).dense_copy(), quantised<Slot>(v, options).dense_copy()));
    slot.train();
    CHECK(testing::same_bits(slot.parameter().value(), dense));
  }
}

}  // namespace weight_slot_test
