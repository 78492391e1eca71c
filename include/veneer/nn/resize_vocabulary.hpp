// SPDX-License-Identifier: Apache-2.0
/// \file resize_vocabulary.hpp
/// resize_vocabulary(model, rows): changes the number of rows of embedding and head.
///
///   W: (vocabulary, features) -> (rows, features)      kept rows keep every bit; new rows are the mean of the old ones
/// A mean row gives a new token the logit of an average token, so that it does not dominate the softmax. This is the
/// expectation of transformers' resize_token_embeddings (mean_resizing). A tied head remains tied.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "veneer/nn/linear.hpp"
#include "veneer/tensor/factory.hpp"

namespace veneer {

namespace detail {

/// Returns a weight with another number of rows, in the storage type of the old one; shape-only if the old one is.
/// \throws ArgumentError for a trainable weight
template <WeightSlotLike W>
W with_row_count(const W& weight, index_t rows) {
  using T = typename W::scalar;
  using S = typename W::shape_type;
  expects(!weight.trainable(), "veneer::resize_vocabulary(model, rows): a weight is trainable: resize before attach");
  const S shape = shape_of<S>(rows, weight.extent(1));
  const auto old = weight.dense_copy();
  if (!old) return W(Tensor<T, S, typename W::backend>(shape, old.device(), nullptr));
  const std::vector<T> from = to_host(old);
  const auto columns = static_cast<std::size_t>(weight.extent(1)), before = static_cast<std::size_t>(weight.extent(0));
  std::vector<double> sum(columns, 0.0);
  for (std::size_t r = 0; r < before; ++r) {
    for (std::size_t c = 0; c < columns; ++c) sum[c] += static_cast<double>(from[r * columns + c]);
  }
  std::vector<T> to(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(
                                                     std::min(before, static_cast<std::size_t>(rows)) * columns));
  while (to.size() < static_cast<std::size_t>(rows) * columns) {
    for (const double value : sum) to.push_back(static_cast<T>(value / static_cast<double>(before)));
  }
  return weight.with_values(from_host(shape, to, old.device()));
}

}  // namespace detail

/// \param model  a Llama without adapters, whose weights are slots; may be shape-only
/// \throws ArgumentError when `rows` is 0 or a weight is trainable
template <class Model>
void resize_vocabulary(Model& model, index_t rows) {
  expects(rows >= 1,
          "veneer::resize_vocabulary(model, rows): at least one row is required; requested " + std::to_string(rows));
  if (rows == model.config.vocab_size) return;
  model.model.embed_tokens.weight = detail::with_row_count(model.model.embed_tokens.weight, rows);
  if (present(model.lm_head.weight)) model.lm_head.weight = detail::with_row_count(model.lm_head.weight, rows);
  model.config.vocab_size = rows;
}

}  // namespace veneer
