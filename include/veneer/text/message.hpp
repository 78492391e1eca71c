// SPDX-License-Identifier: Apache-2.0
/// \file message.hpp
/// Message: one turn of a conversation, in chat data and chat templates.
#pragma once

#include <optional>
#include <string>

#include "veneer/io/json.hpp"

namespace veneer {

/// One message. `role` is one of OpenAI's in data: `system`, `developer`, `user`, `assistant`, `tool` or `function`. A
/// template may render or refuse it.
struct Message {
  std::string role;
  std::string content;               // empty if it is null in `whole`
  Json whole = {};                   // an object of all keys, if there are more than these two; else null
  std::optional<bool> trained = {};  // whether the message is trained on; empty: only if it is the assistant's

  bool is_trained() const { return trained.value_or(role == "assistant"); }
  friend bool operator==(const Message&, const Message&) = default;
};

/// The variables of a chat template in addition to the messages; null if a conversation has none.
struct ChatVariables {
  Json tools = {};      // a list of descriptions of functions
  Json documents = {};  // a list
  Json arguments = {};  // an object: further variables of the template, by name

  friend bool operator==(const ChatVariables&, const ChatVariables&) = default;
};

}  // namespace veneer
