// SPDX-License-Identifier: Apache-2.0
#include "veneer/peft/init.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <Eigen/SVD>

#include "veneer/backend/cpu.hpp"
#include "veneer/peft/init/convert.hpp"
#include "veneer/peft/merge.hpp"

#include "support/catch.hpp"
#include "support/values.hpp"

namespace init_test {

using namespace veneer;

namespace {

using Slot = WeightSlot<float, Shape<dyn, dyn>, Cpu>;
using Factors = LowRankAdapter<Cpu>;
using Layer = Linear<Slot, AdapterSlot<Factors, DoraAdapter<Cpu>, InputObserver<Cpu>>>;

struct Model {
  Layer up, gate, down;
  auto operator()(const auto& x) const { return down(multiply(silu(up(x)), gate(x))); }
  static constexpr auto fields =
      std::tuple{field("up", &Model::up), field("gate", &Model::gate), field("down", &Model::down)};
};

constexpr index_t hidden = 20, wide = 32;

auto random(index_t rows, index_t columns, std::uint64_t stream) {
  return normal<float>(Shape<dyn, dyn>(rows, columns), RandomStream{5, stream}, 0.3, Cpu{});
}

template <class U = float>
Model model_of() {
  Model model;
  model.up.weight = Slot(convert<U>(random(wide, hidden, 1)));
  model.gate.weight = Slot(convert<U>(random(wide, hidden, 2)));
  model.down.weight = Slot(convert<U>(random(hidden, wide, 3)));
  return model;
}

AdapterConfig config_of(const std::string& init, index_t rank = 4, double alpha = 6) {
  AdapterConfig config{.r = rank, .lora_alpha = alpha};
  config.target_modules = {"up", "down"};
  config.init_lora_weights = init;
  if (init == "loftq") config.loftq_config = LoftqConfig{4, 2};
  return config;
}

const std::vector<std::string> taking{"pissa", "pissa_niter_4", "olora"};

double difference(const auto& x, const auto& y) {
  double most = 0.0;
  const auto a = to_host(x), b = to_host(y);
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(static_cast<double>(a[i] - b[i])));
  return most;
}

HostMatrix host(index_t rows, index_t columns, std::uint64_t stream) {
  return detail::normal_matrix(rows, columns, {3, stream});
}

/// || w - left diag(values) right ||_F
double residual(const HostMatrix& w, const Decomposition& parts) {
  detail::HostEigen left = detail::to_eigen(parts.left);
  for (std::size_t k = 0; k < parts.values.size(); ++k) left.col(static_cast<index_t>(k)) *= parts.values[k];
  return (detail::to_eigen(w) - left * detail::to_eigen(parts.right)).norm();
}

}  // namespace

TEST_CASE("svd: no matrix of the rank is nearer, and the vectors are orthonormal") {
  for (const auto& [rows, columns] : {std::pair<index_t, index_t>{17, 40}, {40, 17}, {12, 12}, {1, 9}, {9, 1}}) {
    CAPTURE(rows, columns);
    const HostMatrix w = host(rows, columns, 1);
    const Eigen::JacobiSVD<Eigen::MatrixXd> full{Eigen::MatrixXd(detail::to_eigen(w))};
    const Eigen::VectorXd all = full.singularValues();
    for (index_t rank = 1; rank <= std::min(rows, columns); ++rank) {
      const Decomposition parts = detail::svd(w, rank);
      const double least = all.tail(all.size() - rank).norm();  // Eckart and Young
      CHECK(residual(w, parts) <= least + 1e-12 * all[0]);
      for (index_t k = 0; k < rank; ++k)
        CHECK(parts.values[static_cast<std::size_t>(k)] == Approx(all[k]).epsilon(1e-11));
      const detail::HostEigen right = detail::to_eigen(parts.right), left = detail::to_eigen(parts.left);
      const auto one = detail::HostEigen::Identity(rank, rank);
      CHECK((right * right.transpose() - one).cwiseAbs().maxCoeff() < 1e-9);  // eps times the square of s_1 / s_n
      CHECK((left.transpose() * left - one).cwiseAbs().maxCoeff() < 1e-9);
    }
  }
}

TEST_CASE("svd: a matrix of lower rank is met exactly, and a zero one gives zeros") {
  HostMatrix w = host(14, 11, 2);
  for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] *= i / 11 < 3 ? 1.0 : 0.0;  // rank 3
  CHECK(residual(w, detail::svd(w, 6)) < 1e-12);
  const HostMatrix zero{5, 6, std::vector<double>(30, 0.0)};
  const Decomposition nothing = detail::svd(zero, 2);
  CHECK(residual(zero, nothing) == 0.0);
  CHECK(nothing.values == std::vector<double>{0.0, 0.0});
  for (const double value : nothing.left.values) CHECK(std::isfinite(value));
}

TEST_CASE("fast svd is near the exact one, nearer with more iterations, and a function of its stream") {
  const HostMatrix w = host(120, 90, 3);  // flat singular values: the hard case
  const double exact = residual(w, detail::svd(w, 8));
  double before = std::numeric_limits<double>::infinity();
  for (const index_t iterations : {0, 1, 4, 16}) {
    const double found = residual(w, detail::fast_svd(w, 8, iterations, {1, 2}));
    CHECK(found >= exact * (1 - 1e-12));
    CHECK(found <= before);
    before = found;
  }
  CHECK(before <= exact * (1 + 1e-4));
  CHECK(detail::fast_svd(w, 8, 2, {1, 2}).left.values == detail::fast_svd(w, 8, 2, {1, 2}).left.values);
  CHECK(detail::fast_svd(w, 8, 0, {1, 2}).left.values != detail::fast_svd(w, 8, 0, {1, 3}).left.values);
  CHECK(residual(w, detail::fast_svd(w, 90, 1, {1, 2})) < 1e-10);  // all of it
}

TEST_CASE("qr: the first columns of the whole one, from the first columns of the matrix") {
  for (const auto& [rows, columns] : {std::pair<index_t, index_t>{17, 30}, {30, 17}}) {
    const HostMatrix w = host(rows, columns, 4);
    const Eigen::HouseholderQR<Eigen::MatrixXd> whole{Eigen::MatrixXd(detail::to_eigen(w))};
    const index_t least = std::min(rows, columns), rank = 5;
    const Eigen::MatrixXd q = whole.householderQ() * Eigen::MatrixXd::Identity(rows, least);
    const Eigen::MatrixXd r = q.transpose() * Eigen::MatrixXd(detail::to_eigen(w));
    const Decomposition parts = detail::qr(w, rank);
    CHECK((detail::to_eigen(parts.left) - q.leftCols(rank)).norm() < 1e-12);
    CHECK((detail::to_eigen(parts.right) - r.topRows(rank)).norm() < 1e-12);
    CHECK(residual(w, detail::qr(w, least)) < 1e-12);
  }
  CHECK_THROWS_WITH(detail::qr(host(3, 4, 5), 4), Catch::Contains("ranks from 1 to 3") && Catch::Contains("4"));
}

namespace {

/// What an attach leaves of a layer: w_0 + s B A, which must be w.
template <class U>
void check_start(const std::string& init, double tolerance) {
  CAPTURE(init, tolerance);
  const auto x = random(6, hidden, 9);
  for (const bool rslora : {false, true}) {
    for (const bool dora : {false, true}) {
      CAPTURE(rslora, dora);
      Model model = model_of<U>();
      const auto before = model(x);
      const auto w = model.up.weight.dense_copy();
      AdapterConfig config = config_of(init);
      config.use_rslora = rslora, config.use_dora = dora;
      attach(model, config, {.seed = 1});
      CHECK(difference(model(x), before) <= tolerance);
      if (!dora)
        CHECK(difference(model.up.adapter
                             .merged(*std::get_if<Tensor<U, Shape<dyn, dyn>, Cpu>>(&model.up.weight.stored()),
                                     Vector<float, Cpu>())
                             .weight,
                         w) <= tolerance);
      CHECK(difference(model.up.weight.dense_copy(), w) > 0.01);
      CHECK(difference(model.gate.weight.dense_copy(), model_of<U>().gate.weight.dense_copy()) == 0.0);
      detach(model);
      CHECK(difference(model.up.weight.dense_copy(), w) <= tolerance);
      CHECK(std::holds_alternative<Tensor<U, Shape<dyn, dyn>, Cpu>>(model.up.weight.stored()));
    }
  }
}

}  // namespace

TEST_CASE("PiSSA and OLoRA: the first output is the base's, and what was taken out is put back") {
  for (const std::string& init : taking) {
    check_start<float>(init, 2e-6);     // sums of 20 to 32 products of numbers below 2
    check_start<half>(init, 4e-3);      // what is left is rounded to 11 bits
    check_start<bfloat16>(init, 3e-2);  // to 8
  }
}

TEST_CASE("A base that is kept comes back to the bit, on detach and when another adapter comes") {
  for (const std::string init : {"pissa", "olora", "loftq"}) {
    CAPTURE(init);
    for (const bool again : {false, true}) {
      Model model = model_of<bfloat16>();
      attach(model, config_of(init, 4, 4), {.keep_base = true});
      if (again) {
        attach(model, config_of("true"));
      } else {
        detach(model);
      }
      const Model fresh = model_of<bfloat16>();
      CHECK(to_host(model.up.weight.dense_copy()) == to_host(fresh.up.weight.dense_copy()));
      CHECK(to_host(model.down.weight.dense_copy()) == to_host(fresh.down.weight.dense_copy()));
      CHECK(std::holds_alternative<Tensor<bfloat16, Shape<dyn, dyn>, Cpu>>(model.up.weight.stored()));
    }
  }
}

TEST_CASE("PiSSA: what is left is the smallest that a rank can leave; OLoRA: B is orthonormal") {
  Model model = model_of();
  const HostMatrix w = to_host_matrix(model.up.weight.dense_copy());
  attach(model, config_of("pissa", 5));
  const Eigen::JacobiSVD<Eigen::MatrixXd> full{Eigen::MatrixXd(detail::to_eigen(w))};
  const double least = full.singularValues().tail(hidden - 5).norm();
  const double left = detail::to_eigen(to_host_matrix(model.up.weight.dense_copy())).norm();
  CHECK(left == Approx(least).epsilon(1e-6));
  const auto& pissa = *model.up.adapter.get<Factors>();
  const auto a = detail::to_eigen(to_host_matrix(pissa.down.value()));
  const auto b = detail::to_eigen(to_host_matrix(pissa.up.value()));
  for (index_t k = 0; k < 5; ++k) {  // both factors carry the root of the singular value
    CHECK(a.row(k).squaredNorm() == Approx(full.singularValues()[k] / pissa.scaling).epsilon(1e-5));
    CHECK(b.col(k).squaredNorm() == Approx(full.singularValues()[k] / pissa.scaling).epsilon(1e-5));
  }
  attach(model, config_of("olora", 5));
  const auto q = detail::to_eigen(to_host_matrix(model.up.adapter.get<Factors>()->up.value()));
  CHECK((q.transpose() * q - detail::HostEigen::Identity(5, 5)).cwiseAbs().maxCoeff() < 1e-6);
}

TEST_CASE("OLoRA over 4 bits: the rest goes into 4 bits again, and the base comes back to the bit") {
  Model model = model_of();
  for (Layer* layer : {&model.up, &model.gate, &model.down})
    layer->weight = Slot(NF4Tensor<Shape<dyn, dyn>, Cpu>(layer->weight.dense_copy()));
  const auto w = model.up.weight.dense_copy();
  attach(model, config_of("olora"));
  CHECK(detail::packed(model.up.weight));
  const auto& adapter = *model.up.adapter.get<Factors>();
  const double off = difference(add(model.up.weight.dense_copy(), adapter.delta().weight), w);
  CHECK(off > 1e-3);
  CHECK(off < 0.2);  // half of the widest step of the 16 values, 0.152, times the largest rest of a block, near 1.2
  CHECK_FALSE(detail::is_convertible(model));
  detach(model);
  CHECK(to_host(model.up.weight.dense_copy()) == to_host(w));
  CHECK_THROWS_WITH(attach(model, config_of("pissa")), Catch::Contains("up") && Catch::Contains("is quantised"));
  CHECK_THROWS_WITH(attach(model, config_of("loftq")), Catch::Contains("quantised already"));
  CHECK(to_host(model.up.weight.dense_copy()) == to_host(w));
}

TEST_CASE("LoftQ: nearer to the weight than 4 bits alone, nearer still with iterations, at any alpha") {
  const auto w = model_of().up.weight.dense_copy();
  const auto lost = [&](const auto& sum) { return detail::to_eigen(to_host_matrix(add(w, scale(sum, -1.0)))).norm(); };
  const double plain = lost(decode(NF4Tensor(w)));
  double before = plain;
  for (const index_t iterations : {1, 2, 5}) {
    for (const double alpha : {4.0, 12.0}) {
      Model model = model_of();
      AdapterConfig config = config_of("loftq", 4, alpha);
      config.loftq_config->loftq_iter = iterations;
      attach(model, config);
      CHECK(detail::packed(model.up.weight));
      CHECK_FALSE(detail::packed(model.gate.weight));
      const double found = lost(add(model.up.weight.dense_copy(), model.up.adapter.get<Factors>()->delta().weight));
      if (iterations == 1) {
        CHECK(to_host(model.up.weight.dense_copy()) == to_host(decode(NF4Tensor(w))));
        CHECK(found < 0.85 * plain);  // four directions of twenty
      }
      CHECK(found <= before * (1 + 1e-5));
      if (alpha == 12.0) before = found;
    }
  }
}

TEST_CASE("Orthogonal: both factors have values, and their product none") {
  Model model = model_of();
  const auto x = random(6, hidden, 9);
  const auto before = model(x);
  attach(model, config_of("orthogonal", 6), {.seed = 4});
  const auto& adapter = *model.up.adapter.get<Factors>();
  CHECK(testing::largest(adapter.down.value()) > 0.1);
  CHECK(testing::largest(adapter.up.value()) > 0.1);
  CHECK(testing::largest(adapter.delta().weight) < 1e-6);
  CHECK(difference(model(x), before) < 1e-5);
  const auto first = to_host(adapter.down.value());
  attach(model, config_of("orthogonal", 6), {.seed = 4});
  CHECK(to_host(model.up.adapter.get<Factors>()->down.value()) == first);
  attach(model, config_of("orthogonal", 6), {.seed = 5});
  CHECK(to_host(model.up.adapter.get<Factors>()->down.value()) != first);
  CHECK_THROWS_WITH(attach(model, config_of("orthogonal", 5)), Catch::Contains("even") && Catch::Contains("5"));
}

TEST_CASE("An initialisation that cannot be done is refused in a sentence, and the model is as it was") {
  Model model = model_of();
  const auto w = to_host(model.up.weight.dense_copy());
  const auto refuses = [&](const AdapterConfig& config, const std::string& what) {
    CAPTURE(config.init_lora_weights);
    CHECK_THROWS_AS(attach(model, config), ArgumentError);
    CHECK_THROWS_WITH(attach(model, config), Catch::Contains(what));
    CHECK(to_host(model.up.weight.dense_copy()) == w);
    CHECK_FALSE(model.up.adapter);
  };
  for (const std::string init : {"pissa", "pissa_niter_2", "olora", "loftq"}) {
    refuses(config_of(init, hidden + 1), "at most 20 directions in a weight of (32, 20); the rank is 21");
    refuses(config_of(init, 4, -1), "alpha above 0");
  }
  for (const char* unknown : {"corda", "lora_ga", "pissa_niter_", "pissa_niter_0", "pissa_niter_x", "best"})
    refuses(config_of(unknown), "is not supported");
  refuses(config_of("eva"), "explained_variance");
  AdapterConfig eight = config_of("loftq");
  eight.loftq_config->loftq_bits = 8;
  refuses(eight, "loftq_bits 4");
  AdapterConfig apart = config_of("olora");  // before it is trained, not when it is saved
  apart.use_rslora = true, apart.alpha_pattern = {{"down", 3}};
  refuses(apart, "cannot be saved as a plain adapter");
  AdapterConfig vera = config_of("pissa");
  vera.method = Vera{};
  refuses(vera, "LoRA and DoRA");
  auto spoilt = model.down.weight.dense_copy();
  spoilt.data()[7] = std::numeric_limits<float>::quiet_NaN();
  model.down.weight = Slot(spoilt);
  refuses(config_of("pissa"), "down");
  model.down.weight = Slot(Tensor<float, Shape<dyn, dyn>, Cpu>(Shape<dyn, dyn>(hidden, wide), Cpu{}, nullptr));
  refuses(config_of("pissa"), "load its weights first");
  CHECK(plan_adapter(model, config_of("pissa")).modules.size() == 2);  // a plan needs no values
}

TEST_CASE("The bits do not depend on the number of threads") {
  for (const std::string init : {"pissa", "pissa_niter_3", "olora", "loftq", "orthogonal"}) {
    CAPTURE(init);
    std::vector<std::vector<float>> found;
    for (int threads = 1; threads <= 4; ++threads) {
      Cpu::set_threads(threads);
      Model model = model_of();
      attach(model, config_of(init), {.seed = 2});
      std::vector<float> all = to_host(model.up.weight.dense_copy());
      for (const auto& values : {to_host(model.down.adapter.get<Factors>()->down.value()),
                                 to_host(model.down.adapter.get<Factors>()->up.value())})
        all.insert(all.end(), values.begin(), values.end());
      found.push_back(all);
      CHECK(found.back() == found.front());
    }
  }
}

TEST_CASE("A converted adapter is the same function over the base as it was, and splits into what it was") {
  const auto x = random(6, hidden, 9);
  for (const std::string& init : taking) {
    for (const bool dora : {false, true}) {
      CAPTURE(init, dora);
      AdapterConfig config = config_of(init);
      config.use_dora = dora;
      config.rank_pattern = {{"down", 3}}, config.alpha_pattern = {{"down", 5}};
      Model trained = model_of();
      attach(trained, config, {.seed = 1});
      visit_parameters(trained, [](const std::string& name, auto& parameter) {  // stand-in for training
        auto moved = copy(parameter.value());
        for (index_t i = 0; i < moved.count(); ++i)
          moved.data()[i] += 0.1f * static_cast<float>(normal_at({7, name.size()}, static_cast<std::uint64_t>(i)));
        std::copy(moved.data(), moved.data() + moved.count(), parameter.value().data());
      });
      const auto expected = trained(x);
      REQUIRE(detail::is_convertible(trained));
      Model plain = trained;
      detail::make_plain(plain);
      CHECK(difference(trained(x), expected) == 0.0);  // handles: the model itself is as it was
      Model base = model_of();
      plain.up.weight = base.up.weight, plain.down.weight = base.down.weight;
      CHECK(difference(plain(x), expected) < 2e-5);
      const AdapterConfig settings = plain_config(config);
      CHECK(settings.r == 8);
      CHECK(settings.init_lora_weights == "true");
      const AdapterPlan plan = plan_adapter(base, settings);
      CHECK(plan.modules[0].scaling == Approx(config.lora_alpha / 4));
      CHECK(plan.modules[1].rank == 6);
      CHECK(plan.modules[1].scaling == Approx(5.0 / 3));

      detail::make_split(plain, false);
      CHECK(testing::same_bits(plain(x), expected));
      CHECK(testing::same_bits(plain.up.weight.dense_copy(), trained.up.weight.dense_copy()));
    }
  }
  AdapterConfig mixed = config_of("pissa");
  mixed.use_rslora = true;
  CHECK(plain_config(mixed).lora_alpha == Approx(6 * std::sqrt(2.0)));
  mixed.rank_pattern = {{"down", 3}};
  CHECK_THROWS_WITH(plain_config(mixed), Catch::Contains("use_rslora") && Catch::Contains("rank_pattern"));
}

TEST_CASE("Merging puts the sum in the place of what is left, and unmerging gives back the adapter and its base") {
  const auto x = random(6, hidden, 9);
  Model model = model_of();
  const auto base = model(x);
  attach(model, config_of("pissa"), {.seed = 1, .keep_base = true});
  const auto adapted = model(x);
  Merge<Model> done = merge(model, {.keep = true});
  CHECK(difference(model(x), adapted) < 1e-5);
  unmerge(model, done);
  CHECK(testing::same_bits(model(x), adapted));
  detach(model);
  CHECK(testing::same_bits(model(x), base));
}

namespace {

/// Inputs that vary in few directions, around a mean that is not zero.
Matrix<float, Cpu> inputs(index_t tokens, std::uint64_t stream) {
  const auto directions = random(6, hidden, 50);
  auto mixed = normal<float>(Shape<dyn, dyn>(tokens, 6), RandomStream{9, stream}, 1.0, Cpu{});
  for (index_t i = 0; i < tokens; ++i) {
    for (index_t k = 0; k < 6; ++k) mixed.data()[i * 6 + k] *= static_cast<float>(6 - k);
  }
  Matrix<float, Cpu> x(Shape<dyn, dyn>(tokens, hidden));
  ops::matmul<false, false>(x, mixed, directions);
  for (index_t i = 0; i < x.count(); ++i) x.data()[i] += 2.0f + 0.01f * static_cast<float>(i % hidden);
  return x;
}

const auto run = [](const Model& model, const Matrix<float, Cpu>& x) { model(x); };

}  // namespace

TEST_CASE("EVA: A holds the principal components of the inputs, B is zero, and the budget is kept") {
  const std::vector<Matrix<float, Cpu>> batches{inputs(50, 1), inputs(40, 2), inputs(60, 3)};
  Model model = model_of();
  AdapterConfig config = config_of("eva", 3);
  config.target_modules = {"up", "gate", "down"};
  const ExplainedVariance found = explained_variance(model, config, batches, run);
  CHECK(found.batches >= 2);
  index_t budget = 0;
  for (const auto& [name, directions] : found.directions) {
    CHECK(directions.rows <= 6);  // rho 2
    budget += directions.rows;
    const auto v = detail::to_eigen(directions);
    CHECK((v * v.transpose() - detail::HostEigen::Identity(directions.rows, directions.rows)).cwiseAbs().maxCoeff() <
          1e-9);
  }
  CHECK(budget == 9);
  CHECK_FALSE(model.up.adapter);
  const auto x = inputs(7, 4);
  const auto before = model(x);
  const AdapterPlan plan = attach(model, found.config, {.directions = &found.directions});
  CHECK(testing::same_bits(model(x), before));
  for (const AdaptedModule& module : plan.modules)
    CHECK(module.scaling == Approx(config.lora_alpha / 3));  // alpha went along

  detail::HostEigen all(0, hidden);  // all rows at once
  for (index_t i = 0; i < found.batches; ++i) {
    const auto rows = detail::to_eigen(to_host_matrix(batches[static_cast<std::size_t>(i)]));
    detail::HostEigen longer(all.rows() + rows.rows(), hidden);
    longer << all, rows;
    all = longer;
  }
  all.rowwise() -= all.colwise().mean().eval();
  const Eigen::JacobiSVD<Eigen::MatrixXd> full(Eigen::MatrixXd(all), Eigen::ComputeThinV);
  const HostMatrix& up = found.directions.at("up");
  const auto v = detail::to_eigen(up);
  for (index_t k = 0; k < up.rows; ++k)
    CHECK(std::abs(v.row(k).dot(full.matrixV().col(k))) == Approx(1.0).epsilon(1e-5));  // inputs in float
  const auto a = to_host_matrix(model.up.adapter.get<Factors>()->down.value());
  CHECK((detail::to_eigen(a) - v).cwiseAbs().maxCoeff() < 1e-7);
}

TEST_CASE("EVA: rho 1 keeps the ranks, a module without a share is left out, rows choose what counts") {
  const std::vector<Matrix<float, Cpu>> batches{inputs(50, 1), inputs(40, 2)};
  Model model = model_of();
  AdapterConfig config = config_of("eva", 3);
  config.eva_config = EvaConfig{.rho = 1.0};
  const ExplainedVariance even = explained_variance(model, config, batches, run);
  CHECK(even.config.rank_pattern.empty());
  CHECK(even.config.target_modules == config.target_modules);

  config.r = 1, config.eva_config = EvaConfig{.rho = 4.0};  // two ranks in all, and one module explains more
  Model narrow = model;
  const ExplainedVariance uneven = explained_variance(narrow, config, batches, run);
  index_t sum = 0;
  for (const auto& [name, directions] : uneven.directions) sum += directions.rows;
  CHECK(sum == 2);
  const AdapterPlan plan = attach(narrow, uneven.config, {.directions = &uneven.directions});
  CHECK(plan.modules.size() == uneven.directions.size());

  using Batch = Matrix<float, Cpu>;
  auto spoilt = batches;
  for (Batch& batch : spoilt) {
    batch = copy(batch);
    for (index_t i = 0; i < 10 * hidden; ++i) batch.data()[i] = 100.0f * static_cast<float>(i % 3);
  }
  const std::function<std::vector<index_t>(const Batch&)> rows = [](const Batch& batch) {
    std::vector<index_t> kept;
    for (index_t i = 10; i < batch.extent(0); ++i) kept.push_back(i);
    return kept;
  };
  AdapterConfig three = config_of("eva", 3);
  const ExplainedVariance masked = explained_variance(model, three, spoilt, run, rows);
  std::vector<Batch> cut;
  for (const Batch& batch : batches) cut.push_back(Batch(batch.rows(10, batch.extent(0) - 10)));
  const ExplainedVariance shorter = explained_variance(model, three, cut, run);
  CHECK((detail::to_eigen(masked.directions.at("up")) - detail::to_eigen(shorter.directions.at("up"))).norm() < 1e-6);

  const std::vector<Batch> tiny{inputs(2, 1)};
  CHECK_THROWS_WITH(explained_variance(model, three, tiny, run), Catch::Contains("longer batches"));
  CHECK_THROWS_WITH(explained_variance(model, three, std::vector<Batch>{}, run), Catch::Contains("no batches"));
  CHECK_THROWS_WITH(
      explained_variance(model, three, batches, [](const Model& m, const Batch& x) { return m.up(x).count(); }),
      Catch::Contains("down"));
}

}  // namespace init_test
