// SPDX-License-Identifier: Apache-2.0
/// \file message.hpp
/// Message: one turn of a conversation, as chat data and chat templates have it.
#pragma once

#include <string>

namespace veneer {

/// `role` is `system`, `user` or `assistant` in data; a template may refuse others, or take them.
struct Message {
  std::string role;
  std::string content;
  friend bool operator==(const Message&, const Message&) = default;
};

}  // namespace veneer
