// SPDX-License-Identifier: Apache-2.0
/// \file message.hpp
/// Message: one turn of a conversation, as chat data and chat templates have it.
#pragma once

#include <optional>
#include <string>

#include "veneer/io/json.hpp"

namespace veneer {

/// `role` is one of OpenAI's in data: `system`, `developer`, `user`, `assistant`, `tool` or `function`. What a template
/// writes for it, or refuses, is up to the template.
struct Message {
  std::string role;
  std::string content;               // empty where `whole` holds null
  Json whole = {};                   // an object of all keys, where there are more than these two; else null
  std::optional<bool> trained = {};  // whether the message is trained on; empty: if it is the assistant's

  bool is_trained() const { return trained.value_or(role == "assistant"); }
  friend bool operator==(const Message&, const Message&) = default;
};

/// What a chat template reads apart from the messages; null where a conversation has none.
struct ChatVariables {
  Json tools = {};      // a list of descriptions of functions
  Json documents = {};  // a list
  Json arguments = {};  // an object: further variables of the template, by name

  friend bool operator==(const ChatVariables&, const ChatVariables&) = default;
};

}  // namespace veneer
