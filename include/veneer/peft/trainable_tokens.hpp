// SPDX-License-Identifier: Apache-2.0
/// \file trainable_tokens.hpp
/// TokenEmbeddingAdapter, TokenHeadAdapter: replace some rows of a frozen weight by trained rows.
///
///   W' = W with W'[ids[i]] = rows[i]      embedding: y = W'[x]      head: y = W' x
///   W: (vocabulary, features)   ids: distinct   rows: (count, features), `token_adapter.trainable_tokens_delta`
/// W' is never computed: the embeddings of these tokens replace those of W, and the logits of these tokens replace
/// those of W. Rows are initialised with those of W. A head that is tied to the embedding uses its rows, so both change
/// together. Source: huggingface/peft, src/peft/tuners/trainable_tokens/layer.py.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "veneer/nn/adapter.hpp"
#include "veneer/nn/module.hpp"
#include "veneer/ops/linear.hpp"
#include "veneer/ops/put.hpp"

namespace veneer {

/// Rows that train, and the tokens that they belong to. Copies share the rows.
template <Backend B, Real T>
class TokenRows {
 public:
  using Rows = Parameter<T, Shape<dyn, dyn>, B>;
  using held_types = std::tuple<Rows>;

  TokenRows() = default;
  /// \param rows (count, features); without values for a reader to fill
  TokenRows(std::vector<std::int32_t> ids, Tensor<T, Shape<dyn, dyn>, B> rows)
      : rows_(std::make_shared<Rows>(std::move(rows))), ids_(std::move(ids)) {
    auto places = std::make_shared<std::map<std::int32_t, std::int32_t>>();
    for (std::size_t i = 0; i < ids_.size(); ++i) places->emplace(ids_[i], static_cast<std::int32_t>(i));
    places_ = std::move(places);
  }

  /// The same rows for the other end of a tied model: visit finds no Parameter there.
  TokenRows borrowed() const {
    TokenRows other = *this;
    other.borrowed_ = true;
    return other;
  }
  bool is_borrowed() const { return borrowed_; }

  const Rows& rows() const { return *rows_; }
  const std::vector<std::int32_t>& ids() const { return ids_; }
  /// The tokens on the device.    (count)
  Tensor<std::int32_t, Shape<dyn>, B> at() const { return there(ids_); }

  /// Numbers as a vector on the device.
  Tensor<std::int32_t, Shape<dyn>, B> there(const std::vector<std::int32_t>& numbers) const {
    return from_host(Shape<dyn>(static_cast<index_t>(numbers.size())), numbers, rows_->device());
  }

  /// Which positions of a text hold one of the tokens, and which row each of them takes.
  std::pair<std::vector<std::int32_t>, std::vector<std::int32_t>> places(const std::vector<std::int32_t>& text) const {
    std::vector<std::int32_t> positions, rows;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto found = places_->find(text[i] < 0 ? ~text[i] : text[i]);  // gather.hpp: ~id has no gradient
      if (found == places_->end()) continue;
      positions.push_back(static_cast<std::int32_t>(i));
      rows.push_back(found->second);
    }
    return {std::move(positions), std::move(rows)};
  }

  /// The weight with the rows in it, dense, and the bias as it is.    (vocabulary, features), (vocabulary)
  auto merged(const auto& w, const auto& b) const {
    return Affine{put_rows(decode(value_of(w)), rows_->value(), at()), b};
  }

  /// For visit.
  template <class F>
  void visit_content(const F& f) {
    if (rows_ && !borrowed_) f(*rows_);
  }
  template <class F>
  void visit_content(const F& f) const {
    if (rows_ && !borrowed_) f(std::as_const(*rows_));
  }

 private:
  std::shared_ptr<Rows> rows_;
  std::vector<std::int32_t> ids_;
  std::shared_ptr<const std::map<std::int32_t, std::int32_t>> places_;
  bool borrowed_ = false;
};

/// Rows of an embedding that train.
template <Backend B, Real T = float>
struct TokenEmbeddingAdapter {
  TokenRows<B, T> tokens;

  auto operator()(const auto& table, NoBias, const auto& ids) const {
    const auto [positions, numbers] = tokens.places(to_host(value_of(ids)));
    const auto y = embedding(ids, table);
    const auto rows = tokens.there(numbers), at = tokens.there(positions);
    if constexpr (VariableLike<decltype(ids)>) {
      return put_rows(y, gather_rows(on_tape(tokens.rows(), ids.tape()), rows), at);
    } else {
      return put_rows(y, gather_rows(tokens.rows().value(), rows), at);
    }
  }
  auto merged(const auto& table, const auto& b) const { return tokens.merged(table, b); }
  bool follows() const { return tokens.is_borrowed(); }

  static constexpr auto fields =
      std::tuple{field("token_adapter.trainable_tokens_delta", &TokenEmbeddingAdapter::tokens)};
};

/// Rows of a head that train, or that an embedding trains.
template <Backend B, Real T = float>
struct TokenHeadAdapter {
  TokenRows<B, T> tokens;

  auto operator()(const auto& w, const auto& b, const auto& x) const {
    return add_bias(put_columns(linear(x, w), linear(x, tokens.rows()), tokens.at()), b);
  }
  auto merged(const auto& w, const auto& b) const { return tokens.merged(w, b); }
  /// Whether the rows are those of the embedding.
  bool follows() const { return tokens.is_borrowed(); }

  static constexpr auto fields = std::tuple{field("token_adapter.trainable_tokens_delta", &TokenHeadAdapter::tokens)};
};

}  // namespace veneer
