// SPDX-License-Identifier: Apache-2.0
/// What is true of the adapter of every method: each law once, over all of them and over every kind of weight.
#include "veneer/peft/methods.hpp"

#include <tuple>
#include <vector>

#include "veneer/ops/reduce.hpp"
#include "veneer/quant/nf4_tensor.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace methods_test {

using namespace veneer;

namespace {

// No multiples of the 64 values of a block: blocks cross rows. Large enough that work is cut for threads.
constexpr index_t out = 130, in = 100, tokens = 70, rank = 3;

/// The adapter of every method for w, all of them trained, alpha != rank.
template <Real T, Backend B>
auto adapters(const auto& w, double dropout) {
  LowRankAdapter<B, dyn, T> lora(testing::random_matrix<T, B>(rank, in, 1),
                                 testing::random_matrix<T, B>(out, rank, 2, 0.3), 7.0 / 3.0, dropout);
  lora.bias = Parameter(testing::random_vector<T, B>(out, 15));
  DoraAdapter<B, dyn, T> dora(
      w, LowRankAdapter<B, dyn, T>(testing::random_matrix<T, B>(rank, in, 3),
                                   testing::random_matrix<T, B>(out, rank, 4, 0.3), 7.0 / 3.0, dropout));
  dora.magnitude.value = Parameter(testing::random_vector<T, B>(out, 5));
  AdaLoraAdapter<B, T> adalora;
  adalora.down = Parameter(testing::random_matrix<T, B>(rank, in, 6));
  adalora.singular = Parameter(testing::random_matrix<T, B>(rank, 1, 7));
  adalora.up = Parameter(testing::random_matrix<T, B>(out, rank, 8));
  adalora.scaling = 7.0, adalora.rank_number = 3.0, adalora.dropout_probability = dropout;
  const VeraAdapter<B, T> vera{
      Parameter(testing::random_vector<T, B>(rank, 9)), Parameter(testing::random_vector<T, B>(out, 10)),
      std::make_shared<SharedProjection<T, B>>(rank, out + 3, in + 5, 11, true, true, B{}), dropout};
  return std::tuple{lora,
                    dora,
                    adalora,
                    vera,
                    ScalingAdapter<B, T>{Parameter(testing::random_matrix<T, B>(out, 1, 12)), false},
                    ScalingAdapter<B, T>{Parameter(testing::random_matrix<T, B>(1, in, 13)), true},
                    MissAdapter<B, T>{Parameter(testing::random_matrix<T, B>(rank, out, 16)),
                                      testing::random_matrix<T, B>(rank, in, 17), out, dropout},
                    HiraAdapter<B, T>{Parameter(testing::random_matrix<T, B>(rank, in, 18)),
                                      Parameter(testing::random_matrix<T, B>(out, rank, 19)), dropout},
                    LohaAdapter<B, T>{Parameter(testing::random_matrix<T, B>(out, rank, 20)),
                                      Parameter(testing::random_matrix<T, B>(rank, in, 21)),
                                      Parameter(testing::random_matrix<T, B>(out, rank, 22)),
                                      Parameter(testing::random_matrix<T, B>(rank, in, 23)), 7.0 / 3.0}};
}

/// Calls f(name, adapter) for each.
template <class F>
void each(const auto& all, const F& f) {
  const char* const names[] = {"LoRA", "DoRA", "AdaLoRA", "VeRA", "IA3", "IA3, feed-forward", "MiSS", "HiRA", "LoHa"};
  std::size_t i = 0;
  std::apply([&](auto... adapter) { (f(names[i++], adapter), ...); }, all);
}

/// y, the gradient of x, and those of the adapter's parameters, for the sum of y * c; dropout of one stream.
template <Real T, Backend B>
std::vector<std::vector<T>> there_and_back(auto& adapter, const auto& w, const Matrix<T, B>& x0) {
  Tape tape({5, 1});
  const auto x = tape.variable(x0);
  const auto y = adapter(w, NoBias{}, x);
  backward(dot(y, testing::random_matrix<T, B>(tokens, out, 14)));
  std::vector<std::vector<T>> results{to_host(y.value()), to_host(x.gradient())};
  visit(adapter, [&](const std::string&, auto& part) {
    if constexpr (ParameterLike<decltype(part)>) {
      if (!part.slot()) return;  // no bias of B
      results.push_back(to_host(part.gradient()));
      part.clear_gradient();
    }
  });
  return results;
}

template <Real T>
double relative_distance(const std::vector<T>& found, const std::vector<T>& expected) {
  REQUIRE(found.size() == expected.size());
  double apart = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    apart = std::max(apart, std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return apart / largest;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE(
    "the law of adapters: merging weight and bias changes no result, for any method over any kind of weight", "",
    testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const auto w = testing::random_matrix<float, TestType>(out, in, 20),
             x = testing::random_matrix<float, TestType>(tokens, in, 21);
  const auto check = [&](const auto& weight) {
    each(adapters<float, TestType>(weight, 0.0), [&](const char* name, const auto& adapter) {
      INFO(name);
      for (const auto& bias : {testing::random_vector<float, TestType>(out, 22), Vector<float, TestType>()}) {
        const auto merged = adapter.merged(weight, bias);
        const auto apart = adapter(weight, bias, x), together = add_bias(linear(x, merged.weight), merged.bias);
        CHECK(testing::largest_difference(apart, linear(x, weight)) > 0.1 * testing::largest(apart));
        CHECK(testing::largest_difference(apart, together) < 1e-5 * testing::largest(together));
      }
    });
  };
  check(w), check(convert<bfloat16>(w)), check(NF4Tensor(w)), check(NF4Tensor(w, {.double_quant = true}));
  check(Int8Tensor(w));
}

TEMPLATE_LIST_TEST_CASE("an adapter over 4 bits is the adapter over their dense values, and so are its gradients", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  const NF4Tensor<Shape<dyn, dyn>, TestType, double> packed(testing::random_matrix<float, TestType>(out, in, 20));
  const auto dense = decode(packed);
  const auto x = testing::random_matrix<double, TestType>(tokens, in, 21);
  for (const double dropout : {0.0, 0.4}) {
    each(adapters<double, TestType>(dense, dropout), [&](const char* name, auto& adapter) {
      INFO(name << ", dropout " << dropout);
      const auto expected = there_and_back(adapter, dense, x), found = there_and_back(adapter, packed, x);
      REQUIRE(found.size() >= 3);
      for (std::size_t i = 0; i < found.size(); ++i) CHECK(relative_distance(found[i], expected[i]) < 1e-12);
    });
  }
}

TEST_CASE("every method has the same bits at 1 to 4 threads, with dropout, over dense values and over 4 bits") {
  const auto w = testing::random_matrix<float, Cpu>(out, in, 20),
             x = testing::random_matrix<float, Cpu>(tokens, in, 21);
  const int before = Cpu::threads();
  const auto check = [&](const auto& weight) {
    Cpu::set_threads(1);
    each(adapters<float, Cpu>(weight, 0.4), [&](const char* name, auto& adapter) {
      INFO(name);
      Cpu::set_threads(1);
      const auto one = there_and_back(adapter, weight, x);
      for (const int threads : {2, 3, 4}) {
        Cpu::set_threads(threads);
        CHECK(there_and_back(adapter, weight, x) == one);
      }
    });
  };
  check(w), check(NF4Tensor(w));
  Cpu::set_threads(before);
}

}  // namespace methods_test
