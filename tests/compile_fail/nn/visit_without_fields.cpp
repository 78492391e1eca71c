// SPDX-License-Identifier: Apache-2.0
// expect: veneer::visit(model): the model is a struct without `fields`, so nothing in it would be found
#include "veneer/backend/cpu.hpp"
#include "veneer/nn/module.hpp"

struct Model {
  veneer::Parameter<float, veneer::Shape<4>, veneer::Cpu> weight;
#ifndef VENEER_MUST_FAIL
  static constexpr auto fields = std::tuple{veneer::field("weight", &Model::weight)};
#endif
};

auto count(Model& model) { return veneer::trainable_count(model); }
