// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/attention.hpp"

#include <cmath>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace attention_test {

using namespace veneer;

namespace {

constexpr index_t hidden = 6, heads = 4, kv_heads = 2, width = 2;

template <Backend B>
using Layer = Optional<Linear<Matrix<double, B>>>;
template <Backend B>
using Attention = SelfAttention<Layer<B>, Layer<B>, Layer<B>, Layer<B>, RmsNorm<Vector<double, B>>>;

template <Backend B>
Attention<B> layer(index_t window) {
  Attention<B> a;
  a.q_proj.weight = testing::random_matrix<double, B>(heads * width, hidden, 1);
  a.k_proj.weight = testing::random_matrix<double, B>(kv_heads * width, hidden, 2);
  a.v_proj.weight = testing::random_matrix<double, B>(kv_heads * width, hidden, 3);
  a.o_proj.weight = testing::random_matrix<double, B>(hidden, heads * width, 4);
  a.heads = heads, a.kv_heads = kv_heads, a.window = window;
  return a;
}

/// The angles of these positions, one frequency.
template <Backend B>
ForwardContext<double, B> context(std::shared_ptr<const AttentionLayout> layout,
                                  const std::vector<std::int32_t>& positions) {
  const auto tokens = static_cast<index_t>(positions.size());
  const Shape<dyn, dyn> shape(tokens, width / 2);
  RotaryAngles<double, B> angles{Matrix<double, B>(shape), Matrix<double, B>(shape)};
  const auto there = testing::vector_of<B>(positions);
  const auto frequency = testing::vector_of<B>(std::vector<float>{0.25f});
  angles.cosines.device().for_each(tokens, ops::AngleBody<double>{angles.cosines.data(), angles.sines.data(),
                                                                  there.data(), frequency.data(), width / 2, 1.5});
  return {std::move(layout), {angles}, nullptr, {}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("angles are positions times frequencies, cos and sin times a factor", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto c = context<TestType>(nullptr, {0, 3});
  const auto cosines = to_host(c.angles[0].cosines), sines = to_host(c.angles[0].sines);
  CHECK(cosines[0] == 1.5);
  CHECK(sines[0] == 0.0);
  CHECK(cosines[1] == Approx(1.5 * std::cos(0.75)).epsilon(1e-15));
  CHECK(sines[1] == Approx(1.5 * std::sin(0.75)).epsilon(1e-15));
}

TEMPLATE_LIST_TEST_CASE("self-attention is its projections, turns and attention", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto a = layer<TestType>(2);
  const auto x = testing::random_matrix<double, TestType>(5, hidden, 9);
  const auto c = context<TestType>(AttentionLayout::packed({3, 2}), {0, 1, 2, 0, 1});
  const auto& turn = c.angles[0];
  const auto q = rope(linear(x, a.q_proj.weight), turn.cosines, turn.sines),
             k = rope(linear(x, a.k_proj.weight), turn.cosines, turn.sines);
  const auto mixed = attention(q, k, linear(x, a.v_proj.weight), c.layout, heads, kv_heads, 2);
  CHECK(testing::same_bits(a(x, c, 0), linear(mixed, a.o_proj.weight)));
  Tape tape;
  CHECK(testing::same_bits(a(tape.input(x), c, 0).value(), a(x, c, 0)));
}

TEMPLATE_LIST_TEST_CASE("a fused projection is the three projections below one another", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto a = layer<TestType>(2);
  auto fused = a;
  fused.q_proj.absent = fused.k_proj.absent = fused.v_proj.absent = true;
  fused.qkv_proj.absent = false;
  std::vector<double> rows;
  for (const auto* one : {&a.q_proj, &a.k_proj, &a.v_proj}) {
    const auto values = to_host(one->weight);
    rows.insert(rows.end(), values.begin(), values.end());
  }
  fused.qkv_proj.weight = from_host(Shape<dyn, dyn>((heads + 2 * kv_heads) * width, hidden), rows, TestType{});
  const auto x = testing::random_matrix<double, TestType>(5, hidden, 9);
  const auto c = context<TestType>(AttentionLayout::packed({3, 2}), {0, 1, 2, 0, 1});
  CHECK(testing::largest_difference(fused(x, c, 0), a(x, c, 0)) < 1e-14);
  int seen = 0;
  visit(fused,
        [&](const std::string& name, auto&) { seen += name == "qkv_proj.weight" || name == "q_proj.weight" ? 1 : 0; });
  CHECK(seen == 1);
}

TEMPLATE_LIST_TEST_CASE("without angles nothing turns, and a norm comes before the rotation", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto a = layer<TestType>(0);
  const auto x = testing::random_matrix<double, TestType>(4, hidden, 9);
  const auto c = context<TestType>(AttentionLayout::packed({4}), {0, 1, 2, 3});
  const auto weight = testing::random_vector<double, TestType>(width, 11);
  const auto norm = [&](const auto& projection) {
    return grouped_rms_norm(linear(x, projection.weight), weight, 1e-3);
  };
  const auto v = linear(x, a.v_proj.weight);
  a.q_norm.absent = a.k_norm.absent = false;
  a.q_norm.weight = a.k_norm.weight = weight;
  a.q_norm.epsilon = a.k_norm.epsilon = 1e-3;
  a.scale = 0.3;
  const auto& turn = c.angles[0];
  const auto turned = attention(rope(norm(a.q_proj), turn.cosines, turn.sines),
                                rope(norm(a.k_proj), turn.cosines, turn.sines), v, c.layout, heads, kv_heads, 0, 0.3);
  CHECK(testing::same_bits(a(x, c, 0), linear(turned, a.o_proj.weight)));
  a.angles = -1;
  const auto plain = attention(norm(a.q_proj), norm(a.k_proj), v, c.layout, heads, kv_heads, 0, 0.3);
  CHECK(testing::same_bits(a(x, c, 0), linear(plain, a.o_proj.weight)));
}

TEMPLATE_LIST_TEST_CASE("with a key cache, steps give what the whole sequence gives", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t window : {0, 3}) {
    const auto a = layer<TestType>(window);
    const index_t tokens = 7, capacity = 9, slot = 1;  // the second of two sequences' places
    const auto x = testing::random_matrix<double, TestType>(tokens, hidden, 9);
    const auto whole = a(x, context<TestType>(AttentionLayout::packed({tokens}), {0, 1, 2, 3, 4, 5, 6}), 0);

    KeyValueCache<double, TestType> cache;
    cache.capacity = capacity;
    const Shape<dyn, dyn> shape(2 * capacity, kv_heads * width);
    // Layer 0 is not used; unwritten positions contain NaN, and must not be read.
    cache.layers.resize(2);
    for (auto& layer : cache.layers) {
      layer.template rows<double>() = {full<double, TestType>(shape, NAN), full<double, TestType>(shape, NAN)};
    }
    for (const auto& [begin, count] : {std::pair<index_t, index_t>{0, 3}, {3, 1}, {4, 1}, {5, 2}}) {
      const auto layout = std::make_shared<AttentionLayout>(
          AttentionLayout{{{0, count, slot * capacity, begin + count, begin + count}}});
      std::vector<std::int32_t> positions, rows;
      for (index_t i = begin; i < begin + count; ++i) {
        positions.push_back(static_cast<std::int32_t>(i));
        rows.push_back(static_cast<std::int32_t>(slot * capacity + i));
      }
      auto c = context<TestType>(layout, positions);
      c.cache = &cache;
      c.rows = testing::vector_of<TestType>(rows);
      CAPTURE(window, begin);
      CHECK(testing::largest_difference(a(x.rows(begin, count), c, 1), whole.rows(begin, count)) < 1e-13);
    }
    CHECK(std::isnan(to_host(cache.layers[0].template rows<double>().keys)[0]));
  }
}

}  // namespace attention_test
