// SPDX-License-Identifier: Apache-2.0
#include "veneer/nn/llama.hpp"

#include "veneer/autograd/gradcheck.hpp"
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/generate.hpp"
#include "veneer/peft/attach.hpp"

#include "support/catch.hpp"

namespace llama_test {

using namespace veneer;

namespace {

using Slots = Llama<LlamaExtents{}, Cpu, stored<double>, AnyAdapter<Cpu, double>, AnyEmbeddingAdapter<Cpu, double>>;
using Fixed = Llama<LlamaExtents{.vocabulary = 11, .hidden = 8, .intermediate = 12, .query = 8, .key_value = 4}, Cpu,
                    dense<double>>;

LlamaConfig small_config() {
  LlamaConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 4;
  config.window = {0, 3};
  return config;
}

/// Random weights by name: two models of one configuration get the same.
template <class M>
void fill_weights(M& model) {
  visit(model, [](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (TensorLike<Part> || WeightSlotLike<Part>) {
      if constexpr (WeightSlotLike<Part>) {
        if (!present(part)) return;  // a bias that this model lacks
      }
      if (name.ends_with(".bias")) return;  // this family has none
      const RandomStream source{3, detail::name_hash(name)};
      part = Part(normal<double>(part.shape(), source, Part::shape_type::rank == 1 ? 1.0 : 0.3, Cpu{}));
    }
  });
}

const std::vector<std::int32_t> ids{1, 2, 3, 4, 5, 6, 7, 8, 10};
const std::vector<std::int32_t> next_ids{2, 3, 4, -100, 6, 7, 8, 10, -100};

auto id_tensor() { return from_host(Shape<dyn>(9), ids, Cpu{}); }

Slots adapted_model() {
  Slots model(small_config());
  fill_weights(model);
  AdapterConfig config{.r = 2, .lora_alpha = 3};
  config.target_modules = ModuleChoice::all_linear();
  attach(model, config);
  visit_parameters(model, [](const std::string& name, auto& parameter) {
    using P = std::remove_cvref_t<decltype(parameter)>;
    parameter = P(normal<double>(parameter.shape(), RandomStream{5, detail::name_hash(name)}, 0.3, Cpu{}));
  });
  return model;
}

/// The error of the gradients of every parameter against central differences, for a model whose loss is `loss(tape)`.
template <class M, class Loss>
double parameter_gradient_error(M& model, const Loss& loss) {
  clear_gradients(model);
  {
    Tape tape;
    backward(loss(tape));
  }
  double worst = 0.0;
  visit_parameters(model, [&](const std::string& name, auto& parameter) {
    INFO(name);
    REQUIRE(parameter.gradient());
    const std::vector<double> found = to_host(parameter.gradient());
    auto& value = parameter.value();
    double error = 0.0, largest = 1e-3;
    for (index_t i = 0; i < value.count(); ++i) {
      double& x = value.data()[i];
      const double kept = x;
      const auto at = [&](double moved) {
        x = moved;
        Tape tape = Tape::forgetful({}, 0);
        return item(loss(tape).value());
      };
      const double slope = (at(kept + 1e-5) - at(kept - 1e-5)) / 2e-5;
      x = kept;
      largest = std::max(largest, std::abs(slope));
      error = std::max(error, std::abs(slope - found[static_cast<std::size_t>(i)]));
    }
    worst = std::max(worst, error / largest);
  });
  return worst;
}

}  // namespace

TEST_CASE("A model sized by its type and one sized at run time give the same bits") {
  Slots slots(small_config());
  Fixed fixed(small_config());
  fill_weights(slots);
  fill_weights(fixed);
  const auto layout = AttentionLayout::packed({4, 5});
  const auto a = slots(id_tensor(), layout);
  const auto b = fixed(id_tensor(), layout);
  CHECK(to_host(a) == to_host(b));
  static_assert(std::remove_cvref_t<decltype(b)>::shape_type::extents[1] == 11);
}

TEST_CASE("Names of weights are the keys of checkpoints") {
  Slots model(small_config());
  std::vector<std::string> names;
  visit(model, [&](const std::string& name, auto& part) {
    if constexpr (WeightSlotLike<decltype(part)>) {
      if (present(part)) names.push_back(name);
    }
  });
  CHECK(names.size() == 1 + 2 * 9 + 1 + 1);
  CHECK(names.front() == "model.embed_tokens.weight");
  CHECK(names[1] == "model.layers.0.input_layernorm.weight");
  CHECK(names[2] == "model.layers.0.self_attn.q_proj.weight");
  CHECK(names.back() == "lm_head.weight");
}

TEST_CASE("Gradients of a two-layer Llama agree with differences: adapters, then every weight") {
  Slots model = adapted_model();
  const auto layout = AttentionLayout::packed({4, 5});
  const auto loss = [&](Tape& tape) { return model.loss(tape.input(id_tensor()), layout, next_ids, 0.25); };
  CHECK(parameter_gradient_error(model, loss) < 1e-6);

  Slots whole(small_config());
  fill_weights(whole);
  train_everything(whole);
  const auto full_loss = [&](Tape& tape) { return whole.loss(tape.input(id_tensor()), layout, next_ids, 0.25); };
  CHECK(parameter_gradient_error(whole, full_loss) < 1e-6);
}

TEST_CASE("Ids of the host give what ids of a tensor give, and are refused alike") {
  Slots model = adapted_model();
  const auto layout = AttentionLayout::packed({4, 5});
  const std::vector<std::int32_t> host_ids = to_host(id_tensor());
  CHECK(to_host(model(host_ids, layout)) == to_host(model(id_tensor(), layout)));
  CHECK(item(model.loss(host_ids, layout, next_ids, 0.25)) == item(model.loss(id_tensor(), layout, next_ids, 0.25)));
  std::vector<std::vector<double>> gradients[2];
  for (const bool host : {false, true}) {
    clear_gradients(model);
    Tape tape;
    backward(host ? model.loss(tape, host_ids, layout, next_ids, 0.25)
                  : model.loss(tape.input(id_tensor()), layout, next_ids, 0.25));
    visit_parameters(
        model, [&](const std::string&, auto& parameter) { gradients[host].push_back(to_host(parameter.gradient())); });
  }
  CHECK(gradients[0] == gradients[1]);
  std::vector<std::int32_t> wrong(host_ids);
  wrong[3] = 11;
  CHECK_THROWS_AS(model(wrong, layout), ArgumentError);
  Tape tape;
  CHECK_THROWS_AS(model.loss(tape, wrong, layout, next_ids, 0.25), ArgumentError);
}

TEST_CASE("Checkpointing changes no bit of the loss or of any gradient") {
  Slots model = adapted_model();
  const auto layout = AttentionLayout::packed({4, 5});
  std::vector<std::vector<double>> gradients[2];
  double losses[2];
  for (const int on : {0, 1}) {
    model.checkpointing = on == 1;
    clear_gradients(model);
    Tape tape;
    const auto loss = model.loss(tape.input(id_tensor()), layout, next_ids, 1.0);
    backward(loss);
    losses[on] = item(loss.value());
    visit_parameters(
        model, [&](const std::string&, auto& parameter) { gradients[on].push_back(to_host(parameter.gradient())); });
  }
  CHECK(losses[0] == losses[1]);
  CHECK(gradients[0] == gradients[1]);
}

TEST_CASE("Frozen weights keep their bytes and never have a gradient") {
  Slots model = adapted_model();
  std::vector<std::vector<double>> before, after;
  const auto collect = [&](std::vector<std::vector<double>>& to) {
    visit(model, [&](const std::string&, auto& part) {
      if constexpr (WeightSlotLike<decltype(part)>) {
        if (present(part)) to.push_back(to_host(part.dense_copy()));
        CHECK_FALSE(part.trainable());
      }
    });
  };
  collect(before);
  Tape tape;
  backward(model.loss(tape.input(id_tensor()), AttentionLayout::packed({9}), next_ids, 1.0));
  collect(after);
  CHECK(before == after);
}

TEST_CASE("Packed sequences do not see each other") {
  Slots model = adapted_model();
  const auto together = to_host(model(id_tensor(), AttentionLayout::packed({4, 5})));
  const auto second = to_host(model(id_tensor().rows(4, 5), AttentionLayout::packed({5})));
  for (std::size_t i = 0; i < second.size(); ++i) CHECK(together[4 * 11 + i] == Approx(second[i]).epsilon(1e-12));
}

TEST_CASE("Decoding with a cache gives the tokens that the whole sequence gives") {
  Slots model = adapted_model();
  const std::vector<std::vector<std::int32_t>> prompts{{1, 2, 3}, {7}};
  const auto made = generate(model, prompts, {.max_new_tokens = 6});
  for (std::size_t s = 0; s < prompts.size(); ++s) {
    std::vector<std::int32_t> all = prompts[s];
    for (const std::int32_t id : made[s]) {
      const index_t length = static_cast<index_t>(all.size());
      const auto logits = to_host(
          model(from_host(Shape<dyn>(length), all, Cpu{}), AttentionLayout::packed({length})).rows(length - 1, 1));
      CHECK(id == std::max_element(logits.begin(), logits.end()) - logits.begin());
      all.push_back(id);
    }
    CHECK(made[s].size() == 6);
  }
}

TEST_CASE("A sequence that grows turn by turn gives what each turn alone gives, and computes only what is new") {
  Slots model = adapted_model();
  GrowingSequence sequence(model);
  std::vector<std::int32_t> all{1, 2, 3};
  for (int turn = 0; turn < 4; ++turn) {
    const auto made = sequence.generate(all, {.max_new_tokens = 5});
    CHECK(made == generate(model, {all}, {.max_new_tokens = 5}).front());
    if (turn == 0) CHECK(sequence.reused() == 0);
    all.insert(all.end(), made.begin(), made.end());
    all.push_back(turn + 4);
  }
  CHECK(sequence.generate(all, {.max_new_tokens = 1}).size() == 1);
  CHECK(sequence.generate(all, {.max_new_tokens = 1}).size() == 1);
  CHECK(sequence.reused() == all.size() - 1);  // the same once more: the last id alone
  all[2] = 9;                                  // another beginning: two ids are shared, the rest is computed again
  CHECK(sequence.generate(all, {.max_new_tokens = 4}) == generate(model, {all}, {.max_new_tokens = 4}).front());
  CHECK(sequence.reused() == 2);
  CHECK_THROWS_AS(sequence.generate({1, 11}), ArgumentError);
  CHECK(sequence.generate(all, {.max_new_tokens = 4}) == generate(model, {all}, {.max_new_tokens = 4}).front());
  CHECK(sequence.reused() == 0);  // after an error nothing is believed of the cache
  CHECK_THROWS_AS(sequence.generate({}), ArgumentError);
}

TEST_CASE("A seed gives the same ids at any number of threads") {
  struct ThreadsRestored {
    int before = Cpu::threads();
    ~ThreadsRestored() { Cpu::set_threads(before); }
  } const restored;
  Slots model = adapted_model();
  const std::vector<std::vector<std::int32_t>> prompts{{1, 2, 3}, {7}, {7}};
  const auto draw = [&](int threads, std::uint64_t seed) {
    Cpu::set_threads(threads);
    return generate(model, prompts,
                    {.max_new_tokens = 20, .temperature = 1.5, .top_k = 9, .top_p = 0.95, .seed = seed});
  };
  const auto first = draw(1, 5);
  CHECK(first[1] != first[2]);  // each sequence has draws of its own
  CHECK(draw(1, 6) != first);
  for (const int threads : {1, 2, 4}) CHECK(draw(threads, 5) == first);
}

TEST_CASE("Drawing keeps the tokens that transformers keeps, and penalises those seen once each") {
  RandomSequence random{{3, 0}, 0};
  const auto kept = [&](std::vector<float> logits, const GenerateOptions& options) {
    std::vector<bool> seen(logits.size(), false);
    for (int i = 0; i < 400; ++i) {
      std::vector<float> copy = logits;
      seen[static_cast<std::size_t>(detail::choose_token(copy, {}, options, random))] = true;
    }
    return seen;
  };
  using Kept = std::vector<bool>;
  // A token stays if those above it hold less than top_p together: at exactly top_p it goes.
  CHECK(kept({0, 0, 0, 0}, {.temperature = 1.0, .top_p = 0.5}) == Kept{true, true, false, false});
  CHECK(kept({0, 0, 0, 0}, {.temperature = 1.0, .top_p = 0.51}) == Kept{true, true, true, false});
  CHECK(kept({0, 9, 0, 0}, {.temperature = 1.0, .top_p = 0.0}) == Kept{false, true, false, false});
  CHECK(kept({1, 0, 2, 3}, {.temperature = 1.0, .top_k = 2}) == Kept{false, false, true, true});
  // top_p is a share of what top_k left
  CHECK(kept({1, 1, 0.5F, 0.5F}, {.temperature = 1.0, .top_k = 2, .top_p = 0.5}) == Kept{true, false, false, false});
  CHECK(kept({1, 1, 0.9F, 0.9F}, {.temperature = 1.0, .top_p = 0.5}) == Kept{true, true, false, false});

  std::vector<float> logits{3, -1, 2, 0};
  detail::choose_token(logits, {0, 1, 1, 3, 0}, {.repetition_penalty = 2.0}, random);
  CHECK(logits == std::vector<float>{1.5F, -2, 2, 0});
}

TEST_CASE("Impossible inputs are refused") {
  Slots model = adapted_model();
  CHECK_THROWS_AS(model(from_host(Shape<dyn>(1), std::vector<std::int32_t>{11}, Cpu{}), AttentionLayout::packed({1})),
                  ArgumentError);
  CHECK_THROWS_AS(model(from_host(Shape<dyn>(1), std::vector<std::int32_t>{-1}, Cpu{}), AttentionLayout::packed({1})),
                  ArgumentError);
  LlamaConfig other = small_config();
  other.hidden_size = 16;
  CHECK_THROWS_AS(Fixed(other), ShapeError);
  CHECK_THROWS_AS(generate(model, {{}}, {}), ArgumentError);
}

TEST_CASE("A loss in pieces is the loss in one piece, and so are its gradients") {
  Slots model = adapted_model();
  const auto layout = AttentionLayout::packed({4, 5});
  std::vector<std::vector<double>> gradients[3];
  std::vector<double> losses;
  for (const int rows : {100, 3, 1}) {  // of the seven that have a target
    model.logits_at_once = rows * model.config.vocab_size;
    clear_gradients(model);
    Tape tape;
    const auto loss = model.loss(tape.input(id_tensor()), layout, next_ids, 0.5);
    backward(loss);
    auto& found = gradients[losses.size()];
    losses.push_back(item(loss.value()));
    visit_parameters(model,
                     [&](const std::string&, auto& parameter) { found.push_back(to_host(parameter.gradient())); });
  }
  for (const std::size_t cut : {1u, 2u}) {
    CHECK(losses[cut] == Approx(losses[0]).epsilon(1e-14));
    REQUIRE(gradients[cut].size() == gradients[0].size());
    double worst = 0.0;
    for (std::size_t i = 0; i < gradients[0].size(); ++i) {
      for (std::size_t j = 0; j < gradients[0][i].size(); ++j)
        worst = std::max(worst, std::abs(gradients[cut][i][j] - gradients[0][i][j]));
    }
    CHECK(worst < 1e-13);  // sums over rows are taken in another order
  }
}

TEST_CASE("Sequences packed side by side teach what each alone teaches: the same losses, the same gradients") {
  Slots model = adapted_model();
  const std::vector<index_t> lengths{4, 1, 3, 1};  // windows of attention reach over none of the seams
  const auto run = [&](index_t begin, const std::vector<index_t>& some) {
    index_t count = 0;
    for (const index_t length : some) count += length;
    const std::vector<std::int32_t> targets(next_ids.begin() + begin, next_ids.begin() + begin + count);
    Tape tape;
    const auto loss =
        model.loss(tape.input(id_tensor().rows(begin, count)), AttentionLayout::packed(some), targets, 0.25);
    backward(loss);
    return item(loss.value());
  };
  const auto gradients = [&] {
    std::vector<double> all;
    visit_parameters(model, [&](const std::string&, auto& parameter) {
      const std::vector<double> one = to_host(parameter.gradient());
      all.insert(all.end(), one.begin(), one.end());
    });
    return all;
  };
  clear_gradients(model);
  const double together = run(0, lengths);
  const std::vector<double> packed = gradients();
  clear_gradients(model);
  double alone = 0.0;
  index_t begin = 0;
  for (const index_t length : lengths) {
    const auto from = next_ids.begin() + begin;
    const bool counts = std::any_of(from, from + length, [](std::int32_t target) { return target != ignored_label; });
    if (counts) alone += run(begin, {length});
    begin += length;
  }
  CHECK(together == Approx(alone).epsilon(1e-13));
  const std::vector<double> summed = gradients();
  REQUIRE(packed.size() == summed.size());
  double worst = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    worst = std::max(worst, std::abs(packed[i] - summed[i]));
    largest = std::max(largest, std::abs(packed[i]));
  }
  CHECK(worst < 1e-12 * largest);
}

TEST_CASE("Checkpointing draws the same dropout masks again") {
  Slots model = adapted_model();
  visit(model, [](const std::string&, auto& part) {
    if constexpr (requires { part.dropout_probability; }) part.dropout_probability = 0.3;
  });
  const auto layout = AttentionLayout::packed({4, 5});
  const auto run = [&](bool checkpointing, std::uint64_t step) {
    model.checkpointing = checkpointing;
    clear_gradients(model);
    Tape tape({4, step});
    const auto loss = model.loss(tape.input(id_tensor()), layout, next_ids, 1.0);
    backward(loss);
    std::vector<std::vector<double>> found{{item(loss.value())}};
    visit_parameters(model,
                     [&](const std::string&, auto& parameter) { found.push_back(to_host(parameter.gradient())); });
    return found;
  };
  const auto plain = run(false, 1);
  CHECK(run(true, 1) == plain);
  CHECK(run(false, 2)[0] != plain[0]);
}

TEST_CASE("With a key cache, hidden states are those of the whole sequence") {
  const Slots model = adapted_model();
  const auto whole = model.hidden(id_tensor(), AttentionLayout::packed({9}));
  auto cache = make_cache(model, 1, 9);
  for (const auto& [begin, count] : {std::pair<index_t, index_t>{0, 4}, {4, 1}, {5, 1}, {6, 3}}) {
    const auto step = model.hidden(id_tensor().rows(begin, count), detail::cached_context(model, cache, {count}));
    const auto found = to_host(step), expected = to_host(whole.rows(begin, count));
    double worst = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - expected[i]));
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("A tied head reads the embedding's weight, and both ends of it learn; biases of q, k and v learn too") {
  LlamaConfig config = small_config();
  config.tie_word_embeddings = config.qkv_bias = true;
  Slots tied(config);
  fill_weights(tied);
  visit(tied, [](const std::string& name, auto& part) {
    using Part = std::remove_cvref_t<decltype(part)>;
    if constexpr (WeightSlotLike<Part>) {
      if (name.ends_with(".bias") && present(part))
        part = Part(normal<double>(part.shape(), RandomStream{6, detail::name_hash(name)}, 0.3, Cpu{}));
    }
  });
  const auto layout = AttentionLayout::packed({9});
  CHECK_FALSE(present(tied.lm_head.weight));
  Slots apart = tied;
  apart.lm_head.weight = apart.model.embed_tokens.weight;
  CHECK(to_host(tied(id_tensor(), layout)) == to_host(apart(id_tensor(), layout)));
  train_everything(tied);
  const auto loss = [&](Tape& tape) { return tied.loss(tape.input(id_tensor()), layout, next_ids, 0.25); };
  CHECK(parameter_gradient_error(tied, loss) < 1e-6);
}

}  // namespace llama_test
