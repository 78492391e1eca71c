// SPDX-License-Identifier: Apache-2.0
/// \file adamw.hpp
/// AdamW: Adam with decoupled weight decay, for all Parameters of a model.
///
///   m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
///   p <- (1 - rate * decay) p - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
/// If the model has AdaLoRA adapters, a step also masks their triplets (optim/rank_allocator.hpp). Loshchilov and
/// Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2; the order of roundings is PyTorch's.
/// Parameters are found by visit_parameters; frozen weights have another type and are not visited.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/nn/module.hpp"
#include "veneer/optim/rank_allocator.hpp"

namespace veneer {

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
};

/// The settings of one parameter that differ from the options.
struct ParameterGroup {
  double learning_rate_factor = 1.0;
  double weight_decay_factor = 1.0;
};

/// The moments of one parameter, on the host, as saved in a training state.
struct Moments {
  std::string name;
  std::vector<float> first, second;
};

namespace ops {

template <Real T>
struct AdamWBody {
  T* p;
  T* m;
  T* v;
  const T* g;
  T beta1_rest, beta2, beta2_rest, keep, step, root_correction, epsilon;
  VENEER_HD void operator()(index_t i) const {
    const T gradient = g[i];
    const T first = m[i] + beta1_rest * (gradient - m[i]);
    const T second = v[i] * beta2 + beta2_rest * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] = p[i] * keep - step * (first / (std::sqrt(second) / root_correction + epsilon));
  }
};

template <Real T>
struct SquareSumLoad {
  const T* x;
  VENEER_HD double operator()(index_t, index_t i) const {
    return static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
};

template <Real T>
struct MultiplyBody {
  T* x;
  T factor;
  VENEER_HD void operator()(index_t i) const { x[i] *= factor; }
};

}  // namespace ops

class AdamW {
 public:
  /// Keeps handles to the current parameters of the model. Attach adapters first: an adapter that is created or
  /// assigned later is not trained, without an error.
  /// \param model  any module
  /// \param group  returns the settings of a parameter, by name and rank; by default all are equal
  /// \throws ArgumentError when the model has no parameters, or an invalid AdaLoRA schedule
  template <class M>
  explicit AdamW(M& model, AdamWOptions options = {},
                 const std::function<ParameterGroup(const std::string&, int rank)>& group = {})
      : options_(options), allocator_(model) {
    visit_parameters(model, [&](const std::string& name, auto& parameter) {
      using P = std::remove_cvref_t<decltype(parameter)>;
      const ParameterGroup own = group ? group(name, P::shape_type::rank) : ParameterGroup{};
      entries_.push_back(std::make_unique<EntryOf<P>>(name, parameter, own));
    });
    expects(!entries_.empty(),
            "veneer::AdamW(model): the model has no parameters; attach an adapter, or train everything");
  }

  /// Updates the parameters with the learning rate of the options, then clears the gradients. A parameter without
  /// gradient is not changed.
  void step() { step(options_.learning_rate); }

  /// Updates the parameters with this learning rate.
  void step(double learning_rate) {
    ++steps_;
    for (const auto& entry : entries_) entry->update(options_, learning_rate, steps_);
    allocator_.step(steps_);
    clear_gradients();
  }

  /// Returns the Euclidean norm of all gradients together.
  double gradient_norm() const {
    double sum = 0.0;
    for (const auto& entry : entries_) sum += entry->squared_norm();
    return std::sqrt(sum);
  }

  void scale_gradients(double factor) {
    for (const auto& entry : entries_) entry->scale(factor);
  }
  void clear_gradients() {
    for (const auto& entry : entries_) entry->clear();
  }

  const AdamWOptions& options() const { return options_; }
  const RankAllocator& allocator() const { return allocator_; }
  index_t steps() const { return steps_; }

  /// Returns the state that a later run needs to continue with the same bits.
  std::vector<Moments> moments() const {
    std::vector<Moments> all;
    for (const auto& entry : entries_) all.push_back(entry->moments());
    return all;
  }

  /// \param triplets  state of AdaLoRA, with the values of the factors; empty without AdaLoRA
  /// \throws FormatError when names or sizes differ from the model's
  void restore(index_t steps, const std::vector<Moments>& all, const std::vector<TripletState>& triplets = {}) {
    allocator_.restore(triplets);
    expects<FormatError>(all.size() == entries_.size(), "veneer::AdamW::restore: the state has " +
                                                            std::to_string(all.size()) + " parameters, the model " +
                                                            std::to_string(entries_.size()));
    for (std::size_t i = 0; i < all.size(); ++i) entries_[i]->restore(all[i]);
    steps_ = steps;
  }

 private:
  struct Entry {
    virtual ~Entry() = default;
    virtual void update(const AdamWOptions& options, double learning_rate, index_t t) = 0;
    virtual double squared_norm() const = 0;
    virtual void scale(double factor) = 0;
    virtual void clear() = 0;
    virtual Moments moments() const = 0;
    virtual void restore(const Moments& moments) = 0;
  };

  template <class P>
  struct EntryOf final : Entry {
    using T = typename P::scalar;
    using B = typename P::backend;
    std::string name;
    P parameter;
    ParameterGroup group;
    Tensor<T, Shape<dyn>, B> first, second;

    EntryOf(std::string key, P handle, ParameterGroup own)
        : name(std::move(key)),
          parameter(std::move(handle)),
          group(own),
          first(zeros<T>(Shape<dyn>(parameter.count()), parameter.device())),
          second(zeros<T>(Shape<dyn>(parameter.count()), parameter.device())) {}

    void update(const AdamWOptions& o, double learning_rate, index_t t) override {
      const auto& gradient = parameter.gradient();
      if (!gradient) return;
      const double rate = learning_rate * group.learning_rate_factor,
                   decay = o.weight_decay * group.weight_decay_factor;
      const double correction1 = 1.0 - std::pow(o.beta1, static_cast<double>(t));
      const double correction2 = 1.0 - std::pow(o.beta2, static_cast<double>(t));
      const auto narrow = [](double x) { return static_cast<T>(x); };
      ops::AdamWBody<T> body{parameter.value().data(),
                             first.data(),
                             second.data(),
                             gradient.data(),
                             narrow(1.0 - o.beta1),
                             narrow(o.beta2),
                             narrow(1.0 - o.beta2),
                             narrow(1.0 - rate * decay),
                             narrow(rate / correction1),
                             narrow(std::sqrt(correction2)),
                             narrow(o.epsilon)};
      parameter.device().for_each(parameter.count(), body, 4);
    }
    double squared_norm() const override {
      const auto& gradient = parameter.gradient();
      if (!gradient) return 0.0;
      Tensor<double, Shape<1>, B> sum(Shape<1>{}, parameter.device());
      parameter.device().reduce_rows(Sum<double>{}, 1, gradient.count(), ops::SquareSumLoad<T>{gradient.data()},
                                     sum.data());
      return item(sum);
    }
    void scale(double factor) override {
      auto gradient = parameter.gradient();
      if (gradient)
        gradient.device().for_each(gradient.count(), ops::MultiplyBody<T>{gradient.data(), static_cast<T>(factor)});
    }
    void clear() override { parameter.clear_gradient(); }
    Moments moments() const override { return {name, to_host(convert<float>(first)), to_host(convert<float>(second))}; }
    void restore(const Moments& from) override {
      expects<FormatError>(from.name == name && static_cast<index_t>(from.first.size()) == first.count() &&
                               static_cast<index_t>(from.second.size()) == second.count(),
                           "veneer::AdamW::restore: the state of " + from.name + " does not fit the parameter " + name);
      first = convert<T>(from_host(Shape<dyn>(first.count()), from.first, first.device()));
      second = convert<T>(from_host(Shape<dyn>(second.count()), from.second, second.device()));
    }
  };

  AdamWOptions options_;
  RankAllocator allocator_;
  std::vector<std::unique_ptr<Entry>> entries_;
  index_t steps_ = 0;
};

}  // namespace veneer
