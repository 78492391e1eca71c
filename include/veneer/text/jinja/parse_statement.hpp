// SPDX-License-Identifier: Apache-2.0
/// \file parse_statement.hpp
/// The parser of statements. Other tags (include, import, extends, block, unknown ones) are refused by name.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/text/jinja/parse_expression.hpp"

namespace veneer::jinja {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Tree tree() {
    Tree tree;
    tree.body = body({}, {}, 1);
    tree.names = std::move(names_);
    tree.has_generation = has_generation_;
    return tree;
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  /// Parses statements up to one of the tags `ends`, which is not consumed. The parts of `opener` are inside its block.
  Body body(std::string_view opener, Ends ends, std::size_t line) {
    const Open open(*this);
    Body body;
    while (!is_end()) {
      const Token& token = current();
      if (token.kind == TokenKind::data) {
        NodePointer node = make(NodeKind::data, token.line);
        node->text = next().value;
        body.push_back(std::move(node));
      } else if (token.kind == TokenKind::variable_begin) {
        next();
        NodePointer node = make(NodeKind::output, token.line);
        adopt(*node, tuple());
        expect(TokenKind::variable_end, "'}}'");
        body.push_back(std::move(node));
      } else {
        expect(TokenKind::block_begin, "'{%'");
        for (const std::string_view end : ends) {
          if (is_name(end)) return body;
        }
        body.push_back(statement());
        expect(TokenKind::block_end, "'%}'");
      }
    }
    if (ends.size() > 0) fail("'{% " + std::string(opener) + " %}' has no '{% " + last(ends) + " %}'", line);
    return body;
  }

  static std::string last(Ends ends) { return std::string(*(ends.end() - 1)); }

  /// Parses the body of a tag that ends here; the end tag is not consumed.
  void inside(Node& node, Body& into, std::string_view opener, Ends ends) {
    skip(":");
    expect(TokenKind::block_end, "'%}'");
    into = body(opener, ends, node.line);
    for (const NodePointer& child : into) raise(node, child);
  }

  NodePointer statement() {
    if (current().kind != TokenKind::name) fail("expected the name of a tag, found " + describe(current()));
    const Token& token = next();
    const std::string& tag = token.value;
    const std::size_t line = token.line;
    if (tag == "if") return if_else(line);
    if (tag == "for") return for_loop(line);
    if (tag == "set") return set(line);
    if (tag == "macro") return macro(line);
    if (tag == "call") return call_block(line);
    if (tag == "filter") return filter_block(line);
    if (tag == "with") return with(line);
    if (tag == "print") return print(line);
    if (tag == "autoescape") return autoescape(line);
    if (tag == "generation") return generation(line);
    if (tag == "break" || tag == "continue") return leave(tag, line);
    if (tag == "include" || tag == "import" || tag == "from" || tag == "extends" || tag == "block") {
      fail("the tag '" + tag + "' is not supported: a chat template is one file", line);
    }
    fail("unknown tag '" + printable(tag, 40) + "'", line);
  }

  /// Parses a name, a tuple of targets or, with `with_space`, an attribute of a namespace.
  NodePointer target(bool with_space, std::string_view end = {}) {
    NodePointer node = tuple_of([&] { return primary(with_space); }, end, false);
    check_target(*node);
    return node;
  }

  void check_target(const Node& node) {
    if (node.kind == NodeKind::tuple) {
      for (const NodePointer& child : node.children) check_target(*child);
    } else if (node.kind == NodeKind::name) {
      if (in_loops_ > 0 && names_.texts[node.name] == "loop")
        fail("'loop' cannot be assigned inside a loop", node.line);
    } else if (node.kind != NodeKind::space_attribute) {
      fail("expected a name to assign to", node.line);
    }
  }

  std::size_t target_name() {
    const std::string name = expect_any_name();
    if (is_constant_name(name)) fail("'" + name + "' cannot be assigned");
    if (in_loops_ > 0 && name == "loop") fail("'loop' cannot be assigned inside a loop");
    return names_(name);
  }

  /// if_else: children = condition and, after it, one if_else node per elif; body; otherwise.
  NodePointer if_else(std::size_t line) {
    NodePointer node = make(NodeKind::if_else, line);
    adopt(*node, tuple(false));
    inside(*node, node->body, "if", {"elif", "else", "endif"});
    while (skip_name("elif")) {
      NodePointer branch = make(NodeKind::if_else, current().line);
      adopt(*branch, tuple(false));
      inside(*branch, branch->body, "elif", {"elif", "else", "endif"});
      adopt(*node, std::move(branch));
    }
    if (skip_name("else")) inside(*node, node->otherwise, "else", {"endif"});
    expect_name("endif");
    return node;
  }

  /// for_loop: children = target, iterable, filter (may be null); body; otherwise; flag = recursive.
  NodePointer for_loop(std::size_t line) {
    NodePointer node = make(NodeKind::for_loop, line);
    ++in_loops_;
    adopt(*node, target(false, "in"));
    expect_name("in");
    adopt(*node, tuple(false, "recursive"));
    adopt(*node, skip_name("if") ? expression() : nullptr);
    node->flag = skip_name("recursive");
    const std::size_t outer = std::exchange(breakable_, 1);
    inside(*node, node->body, "for", {"endfor", "else"});
    breakable_ = node->flag ? 0 : outer;
    if (skip_name("else")) inside(*node, node->otherwise, "else", {"endfor"});
    breakable_ = outer;
    --in_loops_;
    expect_name("endfor");
    return node;
  }

  NodePointer leave(const std::string& tag, std::size_t line) {
    if (breakable_ == 0) fail("'{% " + tag + " %}' is outside of a loop", line);
    return make(tag == "break" ? NodeKind::break_loop : NodeKind::continue_loop, line);
  }

  /// set: children = target, value. set_block: children = target, filter (may be null); body.
  NodePointer set(std::size_t line) {
    NodePointer node = make(NodeKind::set, line);
    adopt(*node, target(true));
    if (skip("=")) {
      adopt(*node, tuple());
      return node;
    }
    node->kind = NodeKind::set_block;
    adopt(*node, filter(nullptr));
    inside(*node, node->body, "set", {"endset"});
    expect_name("endset");
    return node;
  }

  /// macro, call_block: parameters; children = their defaults, for the last ones.
  void signature(Node& node) {
    expect("(");
    bool first = true;
    while (!is(")")) {
      if (!first) expect(",");
      first = false;
      node.parameters.push_back(target_name());
      if (skip("=")) {
        adopt(node, expression());
      } else if (!node.children.empty()) {
        fail("a parameter without a default follows one with a default");
      }
    }
    for (std::size_t i = 0; i < node.parameters.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        if (node.parameters[i] == node.parameters[k]) fail("two parameters have the same name");
      }
    }
    expect(")");
  }

  /// Parses a body that break and continue do not leave.
  void function_body(Node& node, std::string_view opener, std::string_view end) {
    const std::size_t outer = std::exchange(breakable_, 0);
    inside(node, node.body, opener, {end});
    breakable_ = outer;
    expect_name(end);
  }

  NodePointer macro(std::size_t line) {
    NodePointer node = make(NodeKind::macro, line);
    node->name = target_name();
    signature(*node);
    function_body(*node, "macro", "endmacro");
    return node;
  }

  /// call_block: otherwise = the call.
  NodePointer call_block(std::size_t line) {
    NodePointer node = make(NodeKind::call_block, line);
    if (is("(")) signature(*node);
    NodePointer call = expression();
    if (call->kind != NodeKind::call) fail("expected a call after '{% call'", line);
    adopt(*node, node->otherwise, std::move(call));
    function_body(*node, "call", "endcall");
    return node;
  }

  /// filter_block: children = filter; body.
  NodePointer filter_block(std::size_t line) {
    NodePointer node = make(NodeKind::filter_block, line);
    adopt(*node, filter(nullptr, true));
    inside(*node, node->body, "filter", {"endfilter"});
    expect_name("endfilter");
    return node;
  }

  /// with: children = target, value, target, value, ...; body.
  NodePointer with(std::size_t line) {
    NodePointer node = make(NodeKind::with, line);
    while (current().kind != TokenKind::block_end) {
      if (!node->children.empty()) expect(",");
      adopt(*node, target(false));
      expect("=");
      adopt(*node, expression());
    }
    inside(*node, node->body, "with", {"endwith"});
    expect_name("endwith");
    return node;
  }

  NodePointer print(std::size_t line) {
    NodePointer node = make(NodeKind::output, line);
    while (current().kind != TokenKind::block_end) {
      if (!node->children.empty()) expect(",");
      adopt(*node, expression());
    }
    return node;
  }

  /// scope: body. Escaping of all output is not supported.
  NodePointer autoescape(std::size_t line) {
    NodePointer node = make(NodeKind::scope, line);
    const NodePointer value = expression();
    if (value->kind != NodeKind::constant || !value->value.is(Kind::boolean) || value->value.integer() != 0) {
      fail("'{% autoescape %}' is supported with the value false only", line);
    }
    inside(*node, node->body, "autoescape", {"endautoescape"});
    expect_name("endautoescape");
    return node;
  }

  NodePointer generation(std::size_t line) {
    has_generation_ = true;
    NodePointer node = make(NodeKind::generation, line);
    function_body(*node, "generation", "endgeneration");
    return node;
  }

  std::size_t in_loops_ = 0, breakable_ = 0;
  bool has_generation_ = false;
};

}  // namespace veneer::jinja
