// SPDX-License-Identifier: Apache-2.0
/// \file rank_allocator.hpp
/// RankAllocator: selects the triplets (row of A, value of E, column of B) of AdaLoRA adapters that are
/// kept during training.
///
///   I = |p g|      S <- beta1 S + (1 - beta1) I      U <- beta2 U + (1 - beta2) |I - S|, with the new S
///   score of a value: S U        of triplet i: score(E_i) + mean of A's row i + mean of B's column i
///   budget(t) = init                                  t <= tinit
///             = trunc((init - target) u^3 + target)   u = 1 - (t - tinit) / (total - tfinal - tinit)
///             = target                                t >= total - tfinal
/// Every delta_t steps the triplets with the lowest scores of all modules together are masked, E_i = 0, down to the
/// budget; a masked triplet may be unmasked until step total - tfinal. Zhang et al., arXiv:2303.10512, eqs. 8 to 12 and
/// algorithm 1; the order of steps is PEFT's. AdamW calls it in step(): users need not call it.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/autograd/apply.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/ops/orthogonality.hpp"
#include "veneer/peft/adalora.hpp"

namespace veneer {

/// The sum of ranks kept after step t, and whether step t masks.
struct Budget {
  index_t ranks = 0;
  bool masks = false;
};
inline Budget budget_at(const BudgetSchedule& s, index_t t, index_t modules) {
  const index_t first = s.init_r * modules, last = s.target_r * modules, end = s.total_step - s.tfinal;
  if (t <= s.tinit) return {first, false};
  if (t > end) return {last, true};
  const double u = 1.0 - static_cast<double>(t - s.tinit) / static_cast<double>(end - s.tinit);
  const double ranks = static_cast<double>(first - last) * std::pow(u, 3.0) + static_cast<double>(last);
  return {static_cast<index_t>(ranks), t % s.delta_t == 0 || t == end};
}

/// The state of one module that a later run needs to continue with the same bits, on the host.
struct TripletState {
  std::string module;
  std::vector<bool> kept;                               // empty before the first mask
  std::vector<float> values, sensitivity, uncertainty;  // of A, E, B, concatenated; the last two may be empty
};

namespace ops {
template <Real T>
struct ImportanceBody {
  T* sensitivity;
  T* uncertainty;
  const T* p;
  const T* g;
  T beta1, beta2;
  VENEER_HD void operator()(index_t i) const {
    const T now = p[i] * g[i] < T(0) ? -(p[i] * g[i]) : p[i] * g[i];
    const T mean = beta1 * sensitivity[i] + (T(1) - beta1) * now;
    const T apart = now < mean ? mean - now : now - mean;
    sensitivity[i] = mean;
    uncertainty[i] = beta2 * uncertainty[i] + (T(1) - beta2) * apart;
  }
};

template <Real T>
struct ScoreLoad {
  const T* sensitivity;
  const T* uncertainty;
  index_t by_row, by_column;  // distances of triplets and of values of one triplet
  VENEER_HD T operator()(index_t r, index_t c) const {
    const index_t i = r * by_row + c * by_column;
    return sensitivity[i] * uncertainty[i];
  }
};

template <Real T>
struct MaskBody {
  T* x;
  const std::int32_t* kept;
  VENEER_HD void operator()(index_t i) const {
    if (kept[i] == 0) x[i] = T(0);
  }
};
}  // namespace ops

class RankAllocator {
 public:
  RankAllocator() = default;

  /// Finds the AdaLoRA adapters of a model; there may be none.
  /// \throws ArgumentError when their schedule is invalid or differs, or when an adapter is already masked
  template <class M>
  explicit RankAllocator(M& model) {
    visit(model, [&]<Backend B, Real T>(const std::string& name, AdaLoraAdapter<B, T>& adapter) {
      entries_.push_back(std::make_unique<EntryOf<B, T>>(name, adapter));
    });
    if (empty()) return;
    schedule_ = entries_[0]->schedule();
    schedule_.check();
    for (const auto& entry : entries_) {
      expects(entry->schedule() == schedule_,
              "veneer::RankAllocator: all AdaLoRA adapters of a model must have one schedule");
      expects(entry->rank() == schedule_.init_r,
              "veneer::RankAllocator: " + entry->module + " has rank " + std::to_string(entry->rank()) +
                  " and the schedule starts at " + std::to_string(schedule_.init_r) +
                  ": an adapter that was masked and saved can't go on; resume its run, or begin anew");
    }
  }

  bool empty() const { return entries_.empty(); }
  const BudgetSchedule& schedule() const { return schedule_; }
  Budget budget(index_t t) const { return budget_at(schedule_, t, static_cast<index_t>(entries_.size())); }

  /// Observes and masks after the update of step t, counted from 1, before its gradients are cleared.
  void step(index_t t) {
    if (empty()) return;
    const index_t end = schedule_.total_step - schedule_.tfinal;
    if (t < end) {
      for (const auto& entry : entries_) entry->observe(schedule_);
    }
    if (t > end) {
      for (const auto& entry : entries_) entry->apply_mask();
    } else if (budget(t).masks) {
      mask(budget(t).ranks);
    }
    if (t == end) {
      for (const auto& entry : entries_) entry->forget();
    }
  }

  std::vector<TripletState> states() const {
    std::vector<TripletState> all;
    for (const auto& entry : entries_) all.push_back(entry->state());
    return all;
  }

  /// \throws FormatError when modules or sizes differ from the model's
  void restore(const std::vector<TripletState>& all) {
    expects<FormatError>(all.size() == entries_.size(), "veneer::RankAllocator::restore: the state has " +
                                                            std::to_string(all.size()) + " modules, the model " +
                                                            std::to_string(entries_.size()));
    for (std::size_t i = 0; i < all.size(); ++i) entries_[i]->restore(all[i]);
  }

 private:
  struct Entry {
    std::string module;
    virtual ~Entry() = default;
    virtual const BudgetSchedule& schedule() const = 0;
    virtual index_t rank() const = 0;
    virtual void observe(const BudgetSchedule& schedule) = 0;
    virtual std::vector<double> scores() const = 0;
    virtual void keep(std::vector<bool> kept) = 0;
    virtual void apply_mask() = 0;
    virtual void forget() = 0;
    virtual TripletState state() const = 0;
    virtual void restore(const TripletState& state) = 0;
  };
  template <class B, class T>
  struct EntryOf;

  /// Masks the triplets with scores up to that of the last one to mask, including ties.
  void mask(index_t budget) {
    std::vector<std::vector<double>> scores;
    std::vector<double> all;
    for (const auto& entry : entries_) {
      scores.push_back(entry->scores());
      all.insert(all.end(), scores.back().begin(), scores.back().end());
    }
    const auto gone = static_cast<index_t>(all.size()) - budget;  // at least 1: target_r is below init_r
    if (gone < 1) return;
    std::nth_element(all.begin(), all.begin() + (gone - 1), all.end());
    const double threshold = all[static_cast<std::size_t>(gone - 1)];
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      std::vector<bool> kept;
      for (const double score : scores[i]) kept.push_back(score > threshold);
      entries_[i]->keep(std::move(kept));
    }
  }

  BudgetSchedule schedule_{};
  std::vector<std::unique_ptr<Entry>> entries_;
};

/// Adds the gradient of the orthogonality term of AdaLoRA adapters to that of the loss, weighted by their schedule.
/// \returns the weighted term; 0 if there are none. The Trainer calls it once per step.
template <class M>
double add_orthogonality(M& model) {
  index_t matrices = 0;
  double sum = 0.0, weight = 0.0;
  const auto each = [&](const auto& f) {
    visit(model, [&](const std::string&, AdaLoraLike auto& adapter) { f(adapter); });
  };
  each([&](auto& adapter) { matrices += 2, weight = adapter.schedule.orth_reg_weight; });
  if (matrices == 0 || weight == 0.0) return 0.0;
  const double share = weight / static_cast<double>(matrices);
  each([&](auto& adapter) {
    using T = typename std::remove_cvref_t<decltype(adapter.down)>::scalar;
    const auto add = [&](const auto& norm) {
      sum += static_cast<double>(item(norm.value()));
      backward(norm, static_cast<T>(share));
    };
    Tape tape;
    add(row_orthogonality(on_tape(adapter.down, tape)));
    add(column_orthogonality(on_tape(adapter.up, tape)));
  });
  return share * sum;
}

template <class B, class T>
struct RankAllocator::EntryOf final : RankAllocator::Entry {
  /// One of A, E, B and its averages.
  struct Part {
    Parameter<T, Shape<dyn, dyn>, B> parameter;
    Tensor<T, Shape<dyn>, B> sensitivity{}, uncertainty{};
  };
  AdaLoraAdapter<B, T> adapter;  // handles
  std::vector<Part> parts;

  EntryOf(std::string name, const AdaLoraAdapter<B, T>& handles)
      : adapter(handles), parts{{handles.down}, {handles.singular}, {handles.up}} {
    this->module = std::move(name);
  }

  const BudgetSchedule& schedule() const override { return adapter.schedule; }
  index_t rank() const override { return adapter.rank(); }

  void observe(const BudgetSchedule& s) override {
    for (Part& part : parts) {
      const auto& p = std::as_const(part.parameter);
      const Shape<dyn> count(p.count());
      if (!part.sensitivity)
        part.sensitivity = zeros<T>(count, p.device()), part.uncertainty = zeros<T>(count, p.device());
      const bool seen = static_cast<bool>(p.gradient());
      const auto none = seen ? Tensor<T, Shape<dyn>, B>{} : zeros<T>(count, p.device());
      const T* gradient = seen ? p.gradient().data() : none.data();
      p.device().for_each(p.count(),
                          ops::ImportanceBody<T>{part.sensitivity.data(), part.uncertainty.data(), p.value().data(),
                                                 gradient, static_cast<T>(s.beta1), static_cast<T>(s.beta2)},
                          4);
    }
  }

  std::vector<double> scores() const override {
    const index_t rank = adapter.rank();
    const auto means = [&](const Part& part, index_t by_row, index_t by_column) {
      const index_t each = rank == 0 ? 0 : part.parameter.count() / rank;
      Tensor<T, Shape<dyn>, B> sums(Shape<dyn>(rank), part.parameter.device());
      part.parameter.device().reduce_rows(
          Sum<T>{}, rank, each, ops::ScoreLoad<T>{part.sensitivity.data(), part.uncertainty.data(), by_row, by_column},
          sums.data());
      std::vector<T> host = to_host(sums);
      for (T& value : host) value /= static_cast<T>(each);
      return host;
    };
    const auto a = means(parts[0], adapter.down.extent(1), 1), e = means(parts[1], 1, 1), b = means(parts[2], 1, rank);
    std::vector<double> all;
    for (std::size_t i = 0; i < a.size(); ++i) all.push_back(static_cast<double>(e[i] + (a[i] + b[i])));
    return all;
  }

  void keep(std::vector<bool> kept) override {
    *adapter.kept = std::move(kept);
    apply_mask();
  }

  void apply_mask() override {
    if (adapter.kept->empty()) return;
    const std::vector<std::int32_t> host(adapter.kept->begin(), adapter.kept->end());
    const auto kept = from_host(Shape<dyn>(adapter.rank()), host, adapter.singular.device());
    adapter.singular.device().for_each(adapter.rank(), ops::MaskBody<T>{adapter.singular.value().data(), kept.data()});
  }

  void forget() override {
    for (Part& part : parts) part.sensitivity = {}, part.uncertainty = {};
  }

  TripletState state() const override {
    TripletState state{module, *adapter.kept, {}, {}, {}};
    const auto append = [](std::vector<float>& all, const auto& tensor) {
      if (!tensor) return;
      const std::vector<float> values = to_host(convert<float>(tensor));
      all.insert(all.end(), values.begin(), values.end());
    };
    for (const Part& part : parts) {
      append(state.values, part.parameter.value());
      append(state.sensitivity, part.sensitivity);
      append(state.uncertainty, part.uncertainty);
    }
    return state;
  }

  void restore(const TripletState& from) override {
    std::size_t count = 0;
    for (const Part& part : parts) count += static_cast<std::size_t>(part.parameter.count());
    const auto fits = [&](const auto& list, std::size_t size) { return list.empty() || list.size() == size; };
    expects<FormatError>(from.module == module && from.values.size() == count && fits(from.sensitivity, count) &&
                             fits(from.uncertainty, count) && fits(from.kept, static_cast<std::size_t>(rank())),
                         "veneer::RankAllocator::restore: the state of " + from.module + " does not fit " + module);
    *adapter.kept = from.kept;
    std::size_t at = 0;
    for (Part& part : parts) {
      const auto size = static_cast<std::size_t>(part.parameter.count());
      const auto slice = [&](const std::vector<float>& all) {
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
        return std::vector<T>(begin, begin + static_cast<std::ptrdiff_t>(size));
      };
      const std::vector<T> values = slice(from.values);
      auto& p = part.parameter;
      p.device().copy_in(p.value().data(), values.data(), p.count());
      part.sensitivity = part.uncertainty = {};
      if (!from.sensitivity.empty()) {
        part.sensitivity = from_host(Shape<dyn>(p.count()), slice(from.sensitivity), p.device());
        part.uncertainty = from_host(Shape<dyn>(p.count()), slice(from.uncertainty), p.device());
      }
      at += size;
    }
  }
};

}  // namespace veneer
