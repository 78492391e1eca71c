// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/attention.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "support/backends.hpp"
#include "support/values.hpp"

namespace attention_test {

using namespace veneer;

namespace {

/// Heads and sequences; q, k and v are filled from a seed.
struct Problem {
  index_t heads = 1, kv_heads = 1, width = 1, window = 0;
  std::vector<SequenceRange> spans;

  index_t queries() const { return total(&SequenceRange::queries); }
  index_t keys() const { return total(&SequenceRange::keys); }
  index_t total(index_t SequenceRange::*part) const {
    index_t sum = 0;
    for (const SequenceRange& span : spans) sum += span.*part;
    return sum;
  }
  std::shared_ptr<const AttentionLayout> layout() const {
    return std::make_shared<AttentionLayout>(AttentionLayout{spans});
  }
};

template <Real T, Backend B>
struct Operands {
  Matrix<T, B> q, k, v;
  Operands(const Problem& p, std::uint64_t seed, double stddev = 1.0)
      : q(testing::random_matrix<T, B>(p.queries(), p.heads * p.width, seed, stddev)),
        k(testing::random_matrix<T, B>(p.keys(), p.kv_heads * p.width, seed + 1, stddev)),
        v(testing::random_matrix<T, B>(p.keys(), p.kv_heads * p.width, seed + 2)) {}
  auto result(const Problem& p) const { return attention(q, k, v, p.layout(), p.heads, p.kv_heads, p.window); }
};

/// The definition, key by key, in double.
struct Definition {
  const Problem& p;
  std::vector<double> q, k, v, y;

  template <class Given>
  Definition(const Problem& problem, const Given& given)
      : p(problem), q(wide(given.q)), k(wide(given.k)), v(wide(given.v)), y(q.size()) {
    for (const SequenceRange& span : p.spans) {
      for (index_t i = 0; i < span.queries; ++i) {
        for (index_t head = 0; head < p.heads; ++head) row(span, i, head);
      }
    }
  }
  template <class X>
  static std::vector<double> wide(const X& x) {
    return to_host(convert<double>(x));
  }

  void row(const SequenceRange& span, index_t i, index_t head) {
    const index_t group = head / (p.heads / p.kv_heads), position = span.keys - span.queries + i;
    std::vector<double> weights(static_cast<std::size_t>(span.keys), 0.0);
    bool blind = true;
    for (index_t j = 0; j < span.keys; ++j) {
      if (j > position || j >= span.valid || (p.window != 0 && j <= position - p.window)) continue;
      double score = 0.0;
      for (index_t c = 0; c < p.width; ++c)
        score += at(q, span.query + i, head, p.heads, c) * at(k, span.key + j, group, p.kv_heads, c);
      weights[static_cast<std::size_t>(j)] = std::exp(score / std::sqrt(static_cast<double>(p.width)));
      blind = false;
    }
    if (blind) std::fill(weights.begin(), weights.end(), 1.0);
    double sum = 0.0;
    for (const double weight : weights) sum += weight;
    for (index_t c = 0; c < p.width; ++c) {
      double& out = at(y, span.query + i, head, p.heads, c);
      for (index_t j = 0; j < span.keys; ++j)
        out += weights[static_cast<std::size_t>(j)] / sum * at(v, span.key + j, group, p.kv_heads, c);
    }
  }
  double& at(std::vector<double>& x, index_t token, index_t head, index_t heads, index_t c) const {
    return x[static_cast<std::size_t>((token * heads + head) * p.width + c)];
  }
};

std::vector<Problem> problems() {
  const std::vector<SequenceRange> packed{{0, 3, 0, 3, 3}, {3, 1, 3, 1, 1}, {4, 9, 4, 9, 9}};
  return {
      {1, 1, 1, 0, {{0, 1, 0, 1, 1}}},
      {2, 2, 4, 0, packed},
      {6, 2, 3, 0, packed},
      {4, 1, 2, 4, packed},
      {2, 1, 8, 1, packed},                                 // each token sees itself alone
      {2, 2, 4, 0, {{0, 9, 0, 9, 5}, {9, 4, 9, 4, 4}}},     // padding at the end
      {2, 1, 4, 3, {{0, 9, 0, 9, 2}, {9, 4, 9, 4, 0}}},     // rows and a whole sequence that see nothing
      {2, 1, 4, 0, {{0, 1, 0, 20, 20}, {1, 3, 20, 7, 7}}},  // steps with a key cache
      {2, 1, 4, 5, {{0, 1, 0, 20, 20}, {1, 3, 20, 7, 6}}},
      {4, 2, 16, 0, {{0, 200, 0, 200, 200}, {200, 64, 200, 64, 64}, {264, 65, 264, 65, 65}}},  // blocks of 64 queries
      {4, 2, 16, 50, {{0, 200, 0, 200, 90}}},  // of which the last see nothing
      {2, 2, 64, 100, {{0, 150, 0, 300, 300}}}};
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("attention is its definition, for every layout", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const Problem& p : problems()) {
    CAPTURE(p.heads, p.kv_heads, p.width, p.window, p.spans.size(), p.queries());
    const Operands<double, TestType> exact(p, 1);
    const auto expected = testing::matrix_of<TestType>(p.queries(), p.heads * p.width, Definition(p, exact).y);
    CHECK(testing::largest_difference(exact.result(p), expected) < 1e-13);
    const Operands<float, TestType> single(p, 1);
    const auto found = convert<double>(single.result(p));
    const auto close = testing::matrix_of<TestType>(p.queries(), p.heads * p.width, Definition(p, single).y);
    // A score is a sum of `width` products of size 1: an error of 2^-24 * width moves a weight by the same share.
    CHECK(testing::largest_difference(found, close) <
          6e-8 * static_cast<double>(p.width + 16) * testing::largest(convert<double>(single.v)));
  }
}

TEMPLATE_LIST_TEST_CASE("a token does not see those after it, nor padding, nor other sequences", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Problem p{2, 1, 4, 0, {{0, 70, 0, 70, 66}, {70, 5, 70, 5, 5}}};
  const Operands<float, TestType> given(p, 3);
  const auto before = given.result(p);
  const auto changed = [&](index_t from, index_t count) {  // with other keys and values in these rows
    Operands<float, TestType> other = given;
    for (Matrix<float, TestType>* x : {&other.k, &other.v}) {
      *x = copy(*x);
      auto rows = x->rows(from, count);
      fill(rows, 77.0f);
    }
    return other.result(p);
  };
  CHECK(testing::same_bits(changed(66, 4), before));
  CHECK(testing::same_bits(changed(40, 30).rows(0, 40), before.rows(0, 40)));
  CHECK_FALSE(testing::same_bits(changed(40, 30).rows(40, 1), before.rows(40, 1)));
  CHECK(testing::same_bits(changed(0, 70).rows(70, 5), before.rows(70, 5)));
  CHECK(testing::same_bits(changed(70, 5).rows(0, 70), before.rows(0, 70)));
}

TEMPLATE_LIST_TEST_CASE("a packed sequence computes what it computes alone", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Problem p{4, 2, 3, 6, {{0, 10, 0, 10, 10}, {10, 1, 10, 1, 1}, {11, 67, 11, 67, 67}}};
  const Operands<double, TestType> given(p, 4);
  const auto together = given.result(p);
  CHECK(AttentionLayout::packed({10, 1, 67})->spans.size() == 3);
  CHECK(testing::same_bits(attention(given.q, given.k, given.v, AttentionLayout::packed({10, 1, 67}), 4, 2, 6),
                           together));
  for (const SequenceRange& span : p.spans) {
    const auto alone = attention(given.q.rows(span.query, span.queries), given.k.rows(span.key, span.keys),
                                 given.v.rows(span.key, span.keys), AttentionLayout::packed({span.queries}), 4, 2, 6);
    CHECK(testing::largest_difference(together.rows(span.query, span.queries), alone) < 1e-14);
  }
}

TEMPLATE_LIST_TEST_CASE("equal keys give the mean of the values that a token sees", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto zero = zeros<double, TestType>(Shape<dyn, dyn>(5, 1));
  const auto v = testing::matrix_of<TestType>(5, 1, std::vector<double>{2, 4, 6, 8, 10});
  const auto mean = [&](index_t valid, index_t window) {
    const auto layout = std::make_shared<AttentionLayout>(AttentionLayout{{{0, 5, 0, 5, valid}}});
    return to_host(attention(zero, zero, v, layout, 1, 1, window));
  };
  using Doubles = std::vector<double>;
  CHECK(mean(5, 0) == Doubles{2, 3, 4, 5, 6});
  CHECK(mean(5, 2) == Doubles{2, 3, 5, 7, 9});
  CHECK(mean(2, 0) == Doubles{2, 3, 3, 3, 3});
  CHECK(mean(2, 2) == Doubles{2, 3, 4, 6, 6});  // the last two see nothing: the mean of all five
  CHECK(mean(0, 0) == Doubles{6, 6, 6, 6, 6});
}

TEMPLATE_LIST_TEST_CASE("scores of ten thousand stay finite", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Problem p{2, 1, 4, 0, {{0, 70, 0, 70, 70}}};
  const Operands<float, TestType> given(p, 5, 100.0);
  CHECK(testing::largest(given.result(p)) <= testing::largest(given.v));  // a mean; infinite where there is a NaN
}

TEMPLATE_LIST_TEST_CASE("heads, extents and spans that do not fit are refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto q = testing::random_matrix<float, TestType>(4, 8, 1), k = testing::random_matrix<float, TestType>(4, 4, 2);
  const auto refuses = [&](index_t heads, index_t kv_heads, index_t window, SequenceRange span) {
    const auto layout = std::make_shared<AttentionLayout>(AttentionLayout{{span}});
    CAPTURE(heads, kv_heads, window, span.query, span.queries, span.key, span.keys, span.valid);
    CHECK_THROWS_AS(attention(q, k, k, layout, heads, kv_heads, window), ShapeError);
  };
  const SequenceRange fits{0, 4, 0, 4, 4};
  CHECK_NOTHROW(attention(q, k, k, AttentionLayout::packed({4}), 2, 1));
  for (const auto& [heads, kv_heads] :
       {std::pair<index_t, index_t>{0, 1}, {2, 0}, {3, 1}, {4, 1}, {2, 2}, {1, 2}, {-2, -1}}) {
    refuses(heads, kv_heads, 0, fits);
  }
  refuses(2, 1, -1, fits);
  for (const SequenceRange& span :
       {SequenceRange{1, 4, 0, 4, 4}, SequenceRange{0, 4, 1, 4, 4}, SequenceRange{-1, 4, 0, 4, 4},
        SequenceRange{0, 4, -1, 4, 4}, SequenceRange{0, 4, 0, 3, 3}, SequenceRange{0, 4, 0, 4, 5},
        SequenceRange{0, 4, 0, 4, -1}, SequenceRange{0, -1, 0, 4, 4}}) {
    refuses(2, 1, 0, span);
  }
  const auto other = testing::random_matrix<float, TestType>(5, 4, 3);
  CHECK_THROWS_AS(attention(q, k, other, AttentionLayout::packed({4}), 2, 1), ShapeError);
}

}  // namespace attention_test
