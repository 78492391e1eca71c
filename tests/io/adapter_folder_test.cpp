// SPDX-License-Identifier: Apache-2.0
#include "veneer/io/adapter_folder.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "veneer/backend/cpu.hpp"
#include "veneer/peft/attach.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "support/values.hpp"

namespace adapter_folder_test {

using namespace veneer;
using testing::TemporaryFolder;

namespace {

constexpr index_t in = 5, out = 7, rank = 2;

/// A user-defined method: y = w x + B R A x, with frozen random A and B, and a small trained matrix R.
struct FixedBasisAdapter {
  Parameter<float, Shape<dyn, dyn>, Cpu> core;
  Matrix<float, Cpu> down, up;  // (rank, in), (out, rank)

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    return add_bias(add(linear(x, w), linear(linear(linear(x, down), core), up)), b);
  }
  static constexpr auto fields =
      std::tuple{field("basis_R", &FixedBasisAdapter::core), field("basis_A", &FixedBasisAdapter::down),
                 field("basis_B", &FixedBasisAdapter::up)};

  template <class Site>
  static FixedBasisAdapter make(const Site& site) {
    const Shape<dyn, dyn> square(rank, rank), a(rank, in), b(out, rank);
    const RandomStream other{site.source.seed + 1, site.source.stream};
    return {site.parameter(square, [&] { return zeros<float>(square, site.device); }),
            site.frozen(a, [&] { return normal<float>(a, site.source, 1.0, site.device); }),
            site.frozen(b, [&] { return normal<float>(b, other, 1.0, site.device); })};
  }
};

struct Own {
  Linear<Matrix<float, Cpu>, FixedBasisAdapter> up;
  auto operator()(const auto& x) const { return up(x); }
  static constexpr auto fields = std::tuple{field("up", &Own::up)};
};

AdapterPlan own_plan() {
  AdapterPlan plan;
  plan.modules = {{.name = "up", .out = out, .in = in, .rank = rank}};
  return plan;
}

/// A model with an adapter of this seed, or with the shapes of one.
Own own_model(std::uint64_t seed, bool values = true) {
  Own model;
  model.up.weight = testing::random_matrix<float, Cpu>(out, in, 1);
  const AdapterConfig config;
  const AdapterPlan plan = own_plan();
  std::shared_ptr<void> common;
  model.up.adapter = FixedBasisAdapter::make(
      AdapterSite<float, Cpu, AdapterConfig>{config, plan.modules[0], out, in, {seed, 9}, values, common, Cpu{}});
  return model;
}

}  // namespace

TEST_CASE("a method of one's own with frozen random factors is the same after saving and reading, under any seed") {
  const TemporaryFolder folder;
  Own trained = own_model(1);
  trained.up.adapter.core.value() = testing::random_matrix<float, Cpu>(rank, rank, 3);
  const auto x = testing::random_matrix<float, Cpu>(4, in, 4);
  save_adapter(trained, folder / "adapter", AdapterConfig{.r = rank}, own_plan());
  const SafetensorsFile file(folder / "adapter" / "adapter_model.safetensors");
  CHECK(file.names() == std::vector<std::string>{"base_model.model.up.basis_A", "base_model.model.up.basis_B",
                                                 "base_model.model.up.basis_R"});
  for (Own model : {own_model(2), own_model(3), own_model(4, false)}) {
    load_adapter_tensors(model, folder / "adapter", own_plan());
    CHECK(testing::same_bits(model(x), trained(x)));
    CHECK(trainable_count(model) == rank * rank);
  }
}

namespace {

struct Slotted {
  Linear<Matrix<float, Cpu>, AdapterSlot<LowRankAdapter<Cpu>>> up;
  static constexpr auto fields = std::tuple{field("up", &Slotted::up)};
};

}  // namespace

TEST_CASE("an adapter of a model that is no language model is saved and read like any other") {
  const TemporaryFolder folder;
  Slotted trained, fresh;
  trained.up.weight = fresh.up.weight = testing::random_matrix<float, Cpu>(out, in, 1);
  AdapterConfig config{.r = rank};
  config.target_modules = {"up"};
  const AdapterPlan plan = attach(trained, config, {.seed = 1});
  trained.up.adapter.get<LowRankAdapter<Cpu>>()->up.value() = testing::random_matrix<float, Cpu>(out, rank, 3);
  save_adapter(trained, folder / "adapter", config, plan);
  CHECK(load_adapter(fresh, folder / "adapter").plan.trainable() == plan.trainable());
  const auto x = testing::random_matrix<float, Cpu>(4, in, 4);
  CHECK(testing::same_bits(fresh.up(x), trained.up(x)));
}

TEST_CASE("a frozen factor without values is refused, not computed with") {
  const Own model = own_model(1, false);
  CHECK_THROWS_AS(model(testing::random_matrix<float, Cpu>(4, in, 4)), ArgumentError);
}

TEST_CASE("a file that lacks a frozen factor, or has one more, is refused by its name") {
  const TemporaryFolder folder;
  Own trained = own_model(1);
  save_adapter(trained, folder / "adapter", AdapterConfig{.r = rank}, own_plan());
  const std::filesystem::path path = folder / "adapter" / "adapter_model.safetensors";
  std::vector<detail::HostTensor> tensors;
  tensors.push_back(detail::host_tensor("base_model.model.up.basis_A", trained.up.adapter.down));
  tensors.push_back(detail::host_tensor("base_model.model.up.basis_R", trained.up.adapter.core.value()));
  tensors.push_back(detail::host_tensor("base_model.model.up.basis_C", trained.up.adapter.up));
  write_safetensors(path, detail::views(tensors), {});
  Own model = own_model(2);
  CHECK_THROWS_WITH(load_adapter_tensors(model, folder / "adapter", own_plan()),
                    Catch::Contains("basis_B: missing") && Catch::Contains("basis_C: belongs to nothing"));
  CHECK_THROWS_AS(load_adapter_tensors(model, folder / "nothing", own_plan()), IoError);
}

}  // namespace adapter_folder_test
