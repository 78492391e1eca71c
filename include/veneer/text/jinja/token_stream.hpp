// SPDX-License-Identifier: Apache-2.0
/// \file token_stream.hpp
/// The common base of the two parsers: tokens, errors, and nodes with limited nesting.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "veneer/text/jinja/lexer.hpp"
#include "veneer/text/jinja/tree.hpp"

namespace veneer::jinja {

class TokenStream {
 public:
  static constexpr std::size_t open_limit = 100;    // nested brackets and blocks
  static constexpr std::size_t height_limit = 200;  // levels of the tree; chains such as a + b + c also count

  TokenStream(std::string_view source, const std::string& where) : where_(where) {
    tokens_ = Lexer(source, where).tokens();
  }

 protected:
  [[noreturn]] void fail(const std::string& message, std::size_t line) const {
    throw JinjaError(where_ + ", line " + std::to_string(line) + ": " + message, line);
  }
  [[noreturn]] void fail(const std::string& message) const { fail(message, current().line); }

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is(std::string_view symbol) const { return current().symbol(symbol); }
  bool is_name(std::string_view name) const { return current().name(name); }
  bool is_end() const { return current().kind == TokenKind::end; }
  bool skip(std::string_view symbol) {
    if (!is(symbol)) return false;
    next();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!is_name(name)) return false;
    next();
    return true;
  }
  void expect(std::string_view symbol) {
    if (!skip(symbol)) fail("expected '" + std::string(symbol) + "', found " + describe(current()));
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) fail("expected '" + std::string(name) + "', found " + describe(current()));
  }
  void expect(TokenKind kind, const char* what) {
    if (current().kind != kind) fail(std::string("expected ") + what + ", found " + describe(current()));
    next();
  }
  std::string expect_any_name() {
    if (current().kind != TokenKind::name) fail("expected a name, found " + describe(current()));
    return next().value;
  }

  static NodePointer make(NodeKind kind, std::size_t line) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = line;
    return node;
  }

  /// Adds a child, and throws for a tree that is too deep.
  void adopt(Node& parent, Body& into, NodePointer child) const {
    raise(parent, child);
    into.push_back(std::move(child));
  }
  void adopt(Node& parent, NodePointer child) const { adopt(parent, parent.children, std::move(child)); }
  void raise(Node& parent, const NodePointer& child) const {
    if (child == nullptr) return;
    parent.height = std::max(parent.height, child->height + 1);
    if (parent.height > height_limit) {
      fail("nested deeper than " + std::to_string(height_limit) + " levels", child->line);
    }
  }

  /// A scope of one level of brackets or blocks.
  class Open {
   public:
    explicit Open(TokenStream& stream) : stream_(stream) {
      if (++stream_.open_ > open_limit) {
        --stream_.open_;
        stream_.fail("brackets or blocks inside one another: more than " + std::to_string(open_limit));
      }
    }
    ~Open() { --stream_.open_; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    TokenStream& stream_;
  };

  const std::string& where_;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0, open_ = 0;
};

}  // namespace veneer::jinja
