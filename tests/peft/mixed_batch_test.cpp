// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/mixed_batch.hpp"

#include "veneer/backend/cpu.hpp"
#include "veneer/peft/named_adapters.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace mixed_batch_test {

using namespace veneer;

namespace {

/// An embedding and a head, both adapted: the least that a language model has.
struct Tiny {
  using T = float;
  using backend = Cpu;
  int config = 0;
  Cpu device{};
  Embedding<Matrix<float, Cpu>, AnyEmbeddingAdapter<Cpu>> model;
  Linear<Matrix<float, Cpu>, AnyAdapter<Cpu>> lm_head;

  static ForwardContext<float, Cpu> context(std::shared_ptr<const AttentionLayout> layout, index_t) {
    return {std::move(layout), {}, nullptr, {}};
  }
  static void check_ids(const auto&) {}
  auto hidden(const auto& ids, const ForwardContext<float, Cpu>&) const { return model(ids); }
  auto head(const auto& h) const { return lm_head(h); }
  auto operator()(const auto& ids) const { return head(model(ids)); }
  static constexpr auto fields = std::tuple{field("embed_tokens", &Tiny::model), field("lm_head", &Tiny::lm_head)};
};

NamedAdapters<Tiny> two() {
  Tiny tiny;
  tiny.model.weight = testing::random_matrix<float, Cpu>(9, 8, 1);
  tiny.lm_head.weight = testing::random_matrix<float, Cpu>(9, 8, 2);
  NamedAdapters<Tiny> adapters(tiny);
  for (const std::string name : {"a", "b"}) {
    AdapterConfig config{.r = 2};
    config.target_modules = {"lm_head"};
    config.init_lora_weights = "false";
    adapters.attach(name, config, {.seed = name == "a" ? 1u : 2u});
  }
  return adapters;
}

}  // namespace

TEST_CASE("sequences of a batch have adapters of their own, in the head too") {
  const NamedAdapters<Tiny> adapters = two();
  const auto ids = testing::vector_of<Cpu>(std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7});
  const auto layout = AttentionLayout::packed({2, 1, 4});
  const std::vector<std::string> names{"b", "__base__", "a"};
  const MixedBatch<Tiny> mixed = adapters.mixed(names);
  const auto all = mixed(ids, layout);
  index_t first = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const index_t length = layout->spans[i].queries;
    const auto alone = adapters.with(names[i])(ids.rows(first, length));
    CHECK(testing::largest_difference(Matrix<float, Cpu>(all.rows(first, length)), alone) < 1e-5);
    first += length;
  }

  // Generating asks for the last row of each sequence only.
  const auto h = mixed.hidden(ids, mixed.context(layout, ids.count()));
  const auto last = gather_rows(h, testing::vector_of<Cpu>(std::vector<std::int32_t>{1, 2, 6}));
  const auto logits = mixed.head(last);
  CHECK(testing::largest_difference(logits.rows(0, 1), all.rows(1, 1)) < 1e-5);
  CHECK(testing::largest_difference(logits.rows(1, 1), all.rows(2, 1)) < 1e-5);
  CHECK(testing::largest_difference(logits.rows(2, 1), all.rows(6, 1)) < 1e-5);
  CHECK_THROWS_AS(mixed.head(h.rows(0, 2)), ArgumentError);
}

TEST_CASE("with a cache, a sequence is where its keys are, also when others have ended") {
  const NamedAdapters<Tiny> adapters = two();
  const MixedBatch<Tiny> mixed = adapters.mixed({"b", "__base__", "a"});
  KeyValueCache<float, Cpu> cache;
  cache.capacity = 10, cache.lengths = {3, 2, 5};
  auto layout = std::make_shared<AttentionLayout>();
  layout->spans = {{0, 1, 0, 3, 3}, {1, 1, 20, 5, 5}};  // sequences 0 and 2
  const auto ids = testing::vector_of<Cpu>(std::vector<std::int32_t>{4, 4});
  auto context = mixed.context(layout, 2);
  context.cache = &cache;
  const auto logits = mixed.head(mixed.hidden(ids, context));
  CHECK(testing::largest_difference(Matrix<float, Cpu>(logits.rows(0, 1)), adapters.with("b")(ids.rows(0, 1))) < 1e-5);
  CHECK(testing::largest_difference(Matrix<float, Cpu>(logits.rows(1, 1)), adapters.with("a")(ids.rows(1, 1))) < 1e-5);
  CHECK_THROWS_WITH(mixed(ids, AttentionLayout::packed({1, 1})), Catch::Contains("3 sequences"));
}

}  // namespace mixed_batch_test
