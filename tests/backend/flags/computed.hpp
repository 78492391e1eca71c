// SPDX-License-Identifier: Apache-2.0
/// \file computed.hpp
/// The same matmuls, for two files that are compiled with different flags.
#pragma once

#include <vector>

#include "support/kernels.hpp"
#include "support/products.hpp"

namespace flags_test {

namespace {

/// Returns the C of matmuls in every storage type, with every instruction set: by dot products, by tiles, and
/// with several blocks.
std::vector<veneer::testing::StoredMatrix> computed() {
  using veneer::testing::Form;
  constexpr Form forms[] = {{false, true, 3, 70, 80, 0.7, -0.3, 1},
                            {false, true, 30, 45, 290, 0.7, -0.3, 1},
                            {true, false, 130, 300, 70, 0.7, -0.3, 1}};
  std::vector<veneer::testing::StoredMatrix> all;
  for (const veneer::testing::Mix& mix : veneer::testing::mixes) {
    for (const Form& form : forms) {
      veneer::testing::SumOfProducts problem(mix, form);
      problem.add(form.transpose_a, form.transpose_b, 9, -1.1);
      veneer::testing::with_each_set([&](const veneer::cpu::Kernels&) {
        all.push_back(problem.c);
        veneer::Cpu{}.matmul(problem.into(all.back()));
      });
    }
  }
  return all;
}

}  // namespace
}  // namespace flags_test
