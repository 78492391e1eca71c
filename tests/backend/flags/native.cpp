// SPDX-License-Identifier: Apache-2.0
#include "backend/flags/computed.hpp"

namespace flags_test {

std::vector<veneer::testing::StoredMatrix> computed_native() { return computed(); }

}  // namespace flags_test
