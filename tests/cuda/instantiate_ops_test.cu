// SPDX-License-Identifier: Apache-2.0
/// \file
/// Every op, forward and backward, compiled for Cuda, and compared with Cpu where there is a device.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "veneer/autograd/checkpoint.hpp"
#include "veneer/nn/adapter.hpp"
#include "veneer/ops/attention.hpp"
#include "veneer/ops/cross_entropy.hpp"
#include "veneer/ops/dropout.hpp"
#include "veneer/ops/gather.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/pointwise.hpp"
#include "veneer/ops/reduce.hpp"
#include "veneer/ops/rms_norm.hpp"
#include "veneer/ops/rope.hpp"
#include "veneer/ops/softmax.hpp"
#include "veneer/peft/lora.hpp"

#include "support/backends.hpp"

using namespace veneer;

namespace {

using Numbers = std::vector<float>;

/// Operands of an op with the same values on every backend, and the gradients that a backward pass leaves in them.
/// Values follow from the order in which operands are asked for: a compiler chooses it within one call, for both
/// backends alike.
template <Backend B>
class Maker {
 public:
  using backend = B;
  Tape tape{RandomStream{7, 0}};

  auto matrix(index_t rows, index_t columns) { return watched(constant<float>(Shape<dyn, dyn>(rows, columns))); }
  auto vector(index_t count) { return watched(constant<float>(Shape<dyn>(count))); }
  template <Stored T>
  auto frozen(index_t rows, index_t columns) {
    return constant<T>(Shape<dyn, dyn>(rows, columns));
  }
  template <Stored T>
  auto frozen_vector(index_t count) {
    return constant<T>(Shape<dyn>(count));
  }
  auto ids(const std::vector<std::int32_t>& numbers) {
    return from_host(Shape<dyn>(static_cast<index_t>(numbers.size())), numbers, B{});
  }
  auto parameter(index_t rows, index_t columns) {
    const Parameter made(constant<float>(Shape<dyn, dyn>(rows, columns)));
    gradients_.push_back([made] { return to_host(made.gradient()); });
    return made;
  }

  /// The value of y, and the gradients of its weighted sum.
  template <class Y>
  std::vector<Numbers> results(const Y& y) {
    const auto weights = constant<float>(y.shape());
    backward(inner(y, weights));
    std::vector<Numbers> all{to_host(value_of(y))};
    for (const auto& gradient : gradients_) all.push_back(gradient());
    return all;
  }

  template <Stored T, class S>
  Tensor<T, S, B> constant(S shape) {
    const auto drawn = normal<float>(shape, {++seed_, 0}, 1.0, Cpu{});
    return convert<T>(from_host(shape, to_host(drawn), B{}));
  }

 private:
  template <class X>
  auto watched(const X& x) {
    const auto made = tape.variable(x);
    gradients_.push_back([made] { return to_host(made.gradient()); });
    return made;
  }

  std::uint64_t seed_ = 0;
  std::vector<std::function<Numbers()>> gradients_;
};

template <class Make>
using BackendOf = typename std::remove_reference_t<Make>::backend;

template <Backend B, class F>
std::vector<Numbers> results_of(const F& f) {
  Maker<B> make;
  return make.results(f(make));
}

/// The squared error over the squared size; NaN where either holds one.
double relative_error(const Numbers& found, const Numbers& expected) {
  if (found.size() != expected.size()) return INFINITY;
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    error += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return error / (size + 1e-30);
}

/// Runs f on both backends. Where there is no device, what remains: f compiles for it, and gives numbers on the host.
template <class F>
void agree(const char* name, const F& f) {
  CAPTURE(name);
  const std::vector<Numbers> expected = results_of<Cpu>(f);
  for (const Numbers& part : expected) REQUIRE(std::isfinite(relative_error(part, Numbers(part.size(), 0.0f))));
  if (!Cuda::available()) {
    REQUIRE_THROWS_AS(results_of<Cuda>(f), BackendError);  // a CHECK would be covered up by the skip
    return;
  }
  const std::vector<Numbers> found = results_of<Cuda>(f);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_error(found[i], expected[i]) <= 1e-9);
  }
}

}  // namespace

TEST_CASE("pointwise ops agree") {
  agree("silu", [](auto& make) { return silu(make.matrix(5, 300)); });
  agree("relu", [](auto& make) { return relu(make.matrix(5, 300)); });
  agree("multiply", [](auto& make) { return multiply(make.matrix(5, 300), make.matrix(5, 300)); });
  agree("swiglu", [](auto& make) { return swiglu(make.matrix(5, 300), make.matrix(5, 300)); });
  agree("add", [](auto& make) { return add(make.matrix(5, 300), make.matrix(5, 300)); });
  agree("scale", [](auto& make) { return scale(make.matrix(5, 300), -0.3); });
  agree("add_row", [](auto& make) { return add_row(make.matrix(70, 30), make.vector(30)); });
  agree("add_row, bfloat16",
        [](auto& make) { return add_row(make.matrix(70, 30), make.template frozen_vector<bfloat16>(30)); });
  agree("dropout", [](auto& make) { return dropout(make.matrix(50, 40), 0.3); });
  agree("one matrix twice", [](auto& make) {
    const auto x = make.matrix(5, 300);
    return multiply(x, add(x, silu(x)));
  });
  testing::usable<Cuda>();
}

TEST_CASE("products agree") {
  agree("linear", [](auto& make) { return linear(make.matrix(33, 70), make.matrix(50, 70)); });
  agree("linear, parameter", [](auto& make) { return linear(make.matrix(33, 70), make.parameter(50, 70)); });
  agree("linear, bfloat16",
        [](auto& make) { return linear(make.matrix(33, 70), make.template frozen<bfloat16>(50, 70)); });
  agree("linear, half",
        [](auto& make) { return linear(make.matrix(33, 70), make.template frozen<veneer::half>(50, 70)); });
  agree("low_rank_linear", [](auto& make) {
    return low_rank_linear(make.matrix(33, 70), make.template frozen<bfloat16>(50, 70), make.parameter(8, 70),
                           make.parameter(50, 8), 0.5);
  });
  testing::usable<Cuda>();
}

TEST_CASE("gathers agree") {
  const std::vector<std::int32_t> ids{3, 0, 3, 19, 7, 3, 11};
  agree("gather_rows", [&](auto& make) { return gather_rows(make.matrix(20, 37), make.ids(ids)); });
  agree("gather_columns", [&](auto& make) { return gather_columns(make.matrix(6, 20), make.ids(ids)); });
  agree("embedding, half", [&](auto& make) {
    return add(embedding(make.ids(ids), make.template frozen<veneer::half>(20, 37)), make.matrix(7, 37));
  });
  testing::usable<Cuda>();
}

TEST_CASE("ops on rows agree") {
  agree("softmax", [](auto& make) { return softmax(make.matrix(20, 333)); });
  agree("rms_norm", [](auto& make) { return rms_norm(make.matrix(20, 96), make.vector(96), 1e-5); });
  agree("rms_norm, bfloat16",
        [](auto& make) { return rms_norm(make.matrix(20, 96), make.template frozen_vector<bfloat16>(96), 1e-5); });
  agree("rope", [](auto& make) {
    const auto cosines = make.template frozen<float>(9, 4), sines = make.template frozen<float>(9, 4);
    return rope(make.matrix(9, 24), cosines, sines);
  });
  testing::usable<Cuda>();
}

TEST_CASE("attention agrees") {
  const auto layout = AttentionLayout::packed({70, 1, 13});
  agree("heads in groups", [&](auto& make) {
    return attention(make.matrix(84, 32), make.matrix(84, 16), make.matrix(84, 16), layout, 4, 2);
  });
  agree("a window", [&](auto& make) {
    return attention(make.matrix(84, 32), make.matrix(84, 32), make.matrix(84, 32), layout, 2, 2, 9);
  });
  testing::usable<Cuda>();
}

TEST_CASE("losses agree") {
  const std::vector<std::int32_t> labels{3, ignored_label, 0, 99, 41};
  agree("cross_entropy", [&](auto& make) { return cross_entropy(make.matrix(5, 100), make.ids(labels)); });
  agree("cross_entropy_sum",
        [&](auto& make) { return cross_entropy_sum(make.matrix(5, 100), make.ids(labels), 0.25); });
  agree("inner", [](auto& make) { return inner(make.matrix(300, 200), make.matrix(300, 200)); });
  agree("mean_squared_error",
        [](auto& make) { return mean_squared_error(make.matrix(300, 200), make.matrix(300, 200)); });
  testing::usable<Cuda>();
}

TEST_CASE("checkpoints agree") {
  agree("checkpoint", [](auto& make) {
    const auto w = make.parameter(40, 40);
    return checkpoint([w](const auto& x) { return dropout(silu(linear(x, w)), 0.1); }, make.matrix(12, 40));
  });
  testing::usable<Cuda>();
}

TEST_CASE("low-rank adapters agree") {
  agree("linear, rank 8", [](auto& make) {
    using B = BackendOf<decltype(make)>;
    const auto x = make.matrix(33, 70);
    const LowRankAdapter<B, 8> adapter(make.template constant<float>(Shape<8, dyn>(70)),
                                       make.template constant<float>(Shape<dyn, 8>(50)), 0.5, 0.2);
    return adapter(make.template frozen<bfloat16>(50, 70), x);
  });
  agree("merged", [](auto& make) {
    using B = BackendOf<decltype(make)>;
    const auto x = make.matrix(33, 70);
    const LowRankAdapter<B> adapter(make.template constant<float>(Shape<dyn, dyn>(8, 70)),
                                    make.template constant<float>(Shape<dyn, dyn>(50, 8)), 0.5);
    return linear(x, adapter.merged(make.template frozen<bfloat16>(50, 70)));
  });
  agree("embedding", [](auto& make) {
    using B = BackendOf<decltype(make)>;
    const auto x = make.matrix(3, 24);
    const LowRankEmbeddingAdapter<B> adapter = [&] {
      LowRankEmbeddingAdapter<B> made(Shape<dyn, dyn>(20, 24), {}, {}, 4);
      made.down = Parameter(make.template constant<float>(Shape<dyn, dyn>(4, 20)));
      return made;
    }();
    return add(x, adapter(make.template frozen<float>(20, 24), make.ids({5, 5, 19})));
  });
  testing::usable<Cuda>();
}
