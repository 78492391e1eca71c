// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/module.hpp"

#include <string>
#include <tuple>
#include <vector>

#include "veneer/nn/adapter.hpp"
#include "veneer/nn/weight_slot.hpp"

#include "support/backends.hpp"
#include "support/values.hpp"

namespace module_test {

using namespace veneer;

namespace {

using Names = std::vector<std::string>;

template <Backend B>
using Gain = Parameter<float, Shape<dyn>, B>;

template <Backend B>
struct Leaf {
  Gain<B> gain;
  Tensor<float, Shape<dyn>, B> frozen;
  static constexpr auto fields = std::tuple{field("gain", &Leaf::gain), field("frozen", &Leaf::frozen)};
};

/// The possible contents of a slot of a layer.
template <Backend B>
struct Extra {
  Gain<B> gain;
  auto operator()(const auto& w, const auto& b, const auto& x) const { return add_bias(linear(x, w), b); }
  static constexpr auto fields = std::tuple{field("extra.weight", &Extra::gain)};
};

template <Backend B>
struct Tree {
  Leaf<B> first;
  std::vector<Leaf<B>> layers;
  AdapterSlot<Extra<B>> slot;
  WeightSlot<float, Shape<dyn>, B> weight;
  int number = 7;  // not a field: not visited
  static constexpr auto fields = std::tuple{field("first", &Tree::first), field("layers", &Tree::layers),
                                            field("", &Tree::slot), field("weight", &Tree::weight)};
};

template <Backend B>
Gain<B> gain(index_t count) {
  return Gain<B>(testing::random_vector<float, B>(count, 1));
}

template <Backend B>
Tree<B> tree() {
  Tree<B> t;
  t.first.gain = gain<B>(3);
  t.layers.resize(2);
  t.layers[1].gain = gain<B>(5);
  t.weight = testing::random_vector<float, B>(4, 2);
  return t;
}

template <class M>
Names parameter_names(M& model, const std::string& prefix = "") {
  Names names;
  visit(
      model,
      [&](const std::string& name, auto& part) {
        if constexpr (ParameterLike<decltype(part)>) {
          if (part) names.push_back(name);
        }
      },
      prefix);
  return names;
}

static_assert(Module<Tree<Cpu>> && Module<NoAdapter> && !Module<Matrix<float, Cpu>>);

}  // namespace

TEMPLATE_LIST_TEST_CASE("names are made of fields, owners first", "", testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto t = tree<TestType>();
  Names all;
  visit(t, [&](const std::string& name, auto&) { all.push_back(name); });
  CHECK(all == Names{"", "first", "first.gain", "first.frozen", "layers.0", "layers.0.gain", "layers.0.frozen",
                     "layers.1", "layers.1.gain", "layers.1.frozen", "", "",
                     "weight"});  // a slot without a name, and what it holds
  CHECK(parameter_names(t, "base.model") == Names{"base.model.first.gain", "base.model.layers.1.gain"});
}

TEMPLATE_LIST_TEST_CASE("a slot is looked into: what it holds is visited, what it can hold is not", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto t = tree<TestType>();
  CHECK(parameter_names(t) == Names{"first.gain", "layers.1.gain"});
  t.slot = Extra<TestType>{gain<TestType>(2)};
  t.weight.train();
  CHECK(parameter_names(t) == Names{"first.gain", "layers.1.gain", "extra.weight", "weight"});
  const auto& frozen_view = t;
  CHECK(parameter_names(frozen_view) == parameter_names(t));
}

TEMPLATE_LIST_TEST_CASE("parameters are counted, and their gradients cleared, in the whole tree", "",
                        testing::Backends) {
  if (!testing::usable<TestType>()) return;
  auto t = tree<TestType>();
  CHECK(trainable_count(t) == 3 + 5);
  t.slot = Extra<TestType>{gain<TestType>(2)};
  t.weight.train();
  CHECK(trainable_count(t) == 3 + 5 + 2 + 4);
  int visited = 0;
  visit_parameters(t, [&](const std::string&, auto& parameter) {
    ++visited;
    parameter.slot()->add(parameter.value());
  });
  CHECK(visited == 4);
  clear_gradients(t);
  visit_parameters(t, [&](const std::string&, auto& parameter) { CHECK_FALSE(parameter.gradient()); });
}

}  // namespace module_test
