// SPDX-License-Identifier: Apache-2.0
#include "veneer/ops/cross_entropy.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

#include "veneer/ops/pointwise.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace cross_entropy_test {

using namespace veneer;

namespace {

template <Backend B>
auto labels_of(const std::vector<std::int32_t>& labels) {
  return testing::vector_of<B>(labels);
}

/// The loss and its gradient.
template <Real T, Backend B>
struct Answer {
  T loss;
  std::vector<T> gradient;
  Answer(const Matrix<T, B>& logits, const std::vector<std::int32_t>& labels) {
    Tape tape;
    const auto x = tape.variable(logits);
    const auto y = cross_entropy(x, labels_of<B>(labels));
    backward(y);
    loss = item(y.value());
    gradient = to_host(x.gradient());
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("equal logits cost the logarithm of the number of classes", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  for (const index_t classes : {1, 2, 17, 32000}) {
    const auto x = full<double, TestType>(Shape<dyn, dyn>(3, classes), 4.5);
    CHECK(item(cross_entropy(x, labels_of<TestType>({0, static_cast<std::int32_t>(classes) - 1, 0}))) ==
          Approx(std::log(static_cast<double>(classes))).margin(1e-12));
  }
}

TEMPLATE_LIST_TEST_CASE("cross entropy is minus the mean logarithm of the labels' shares", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 5, 1, 2.0);
  const std::vector<std::int32_t> labels{2, ignored_label, 0, 4};
  const std::vector<double> shares = to_host(softmax(x));
  const Answer<double, TestType> found(x, labels);
  CHECK(found.loss == Approx(-(std::log(shares[2]) + std::log(shares[10]) + std::log(shares[19])) / 3).epsilon(1e-13));
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 5; ++c) {
      const double expected =
          labels[r] == ignored_label ? 0.0 : (shares[r * 5 + c] - (labels[r] == static_cast<int>(c))) / 3;
      CHECK(found.gradient[r * 5 + c] == Approx(expected).margin(1e-15));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a sum is the mean times the number of rows that count", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<double, TestType>(4, 5, 2);
  const auto labels = labels_of<TestType>({2, ignored_label, 0, 4});
  CHECK(item(cross_entropy_sum(x, labels)) == Approx(3 * item(cross_entropy(x, labels))).epsilon(1e-15));
  CHECK(item(cross_entropy_sum(x, labels, 0.5)) == Approx(1.5 * item(cross_entropy(x, labels))).epsilon(1e-15));
}

TEMPLATE_LIST_TEST_CASE("no row that counts: loss 0, gradient 0", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Answer<float, TestType> ignored(testing::random_matrix<float, TestType>(3, 4, 3),
                                        std::vector<std::int32_t>(3, ignored_label));
  CHECK(ignored.loss == 0.0f);
  CHECK(ignored.gradient == std::vector<float>(12, 0.0f));
  const Answer<float, TestType> empty(Matrix<float, TestType>(Shape<dyn, dyn>(0, 4)), {});
  CHECK(empty.loss == 0.0f);
}

TEMPLATE_LIST_TEST_CASE("logits of 10,000 and -10,000 give finite losses and gradients", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Answer<float, TestType> found(
      testing::matrix_of<TestType>(2, 3, std::vector<float>{1e4f, -1e4f, 0, 1e4f, -1e4f, 0}), {0, 1});
  CHECK(found.loss == 10000.0f);  // the mean of 0 and 20,000
  CHECK(found.gradient == std::vector<float>{0, 0, 0, 0.5f, -0.5f, 0});
}

TEMPLATE_LIST_TEST_CASE("what stands in an ignored row does not matter, NaN neither", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const Answer<float, TestType> found(testing::matrix_of<TestType>(2, 2, std::vector<float>{0, 0, NAN, INFINITY}),
                                      {1, ignored_label});
  CHECK(found.loss == Approx(std::log(2.0)));
  CHECK(found.gradient == std::vector<float>{0.5f, -0.5f, 0, 0});
}

TEMPLATE_LIST_TEST_CASE("labels of the host give what those of the device give, and are refused alike", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(4, 5, 1);
  const std::vector<std::int32_t> labels{2, ignored_label, 0, 4};
  CHECK(item(cross_entropy(x, labels)) == item(cross_entropy(x, labels_of<TestType>(labels))));
  CHECK(item(cross_entropy_sum(x, labels, 0.5)) == item(cross_entropy_sum(x, labels_of<TestType>(labels), 0.5)));
  Tape tape;
  const auto on_host = tape.variable(x), on_device = tape.variable(x);
  backward(add(cross_entropy(on_host, labels), cross_entropy(on_device, labels_of<TestType>(labels))));
  CHECK(testing::same_bits(on_host.gradient(), on_device.gradient()));
  CHECK_THROWS_AS(cross_entropy(x, std::vector<std::int32_t>{0}), ShapeError);
  CHECK_THROWS_AS(cross_entropy_sum(x, std::vector<std::int32_t>{0, 5, 0, 0}), ArgumentError);
}

TEMPLATE_LIST_TEST_CASE("labels that do not fit are refused", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto x = testing::random_matrix<float, TestType>(2, 4, 1);
  CHECK_THROWS_AS(cross_entropy(x, labels_of<TestType>({0})), ShapeError);
  for (const std::int32_t wrong : {4, -1, -99, -101, 1 << 30}) {
    CAPTURE(wrong);
    CHECK_THROWS_AS(cross_entropy(x, labels_of<TestType>({0, wrong})), ArgumentError);
    CHECK_THROWS_AS(cross_entropy_sum(x, labels_of<TestType>({wrong, 0})), ArgumentError);
  }
  CHECK_THROWS_WITH(cross_entropy(x, labels_of<TestType>({0, 4})),
                    Catch::Contains("[0, 4) or be -100 (ignored); one is 4"));
}

}  // namespace cross_entropy_test
