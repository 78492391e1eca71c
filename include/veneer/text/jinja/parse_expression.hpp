// SPDX-License-Identifier: Apache-2.0
/// \file parse_expression.hpp
/// The parser of expressions, by recursive descent. From weak to strong:
///
///     a if b else c | or | and | not | == != < <= > >= in, not in | + - | ~ | * / // % | ** | unary - + |
///     a.b a[b] a(b) | a|filter, a is test
///
/// As in jinja2, `-a|f` applies the filter to -a, `**` and `~` group from the left, and `a if b` without else is
/// undefined where b is false.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "veneer/text/jinja/token_stream.hpp"

namespace veneer::jinja {

class ExpressionParser : public TokenStream {
 public:
  using TokenStream::TokenStream;

 protected:
  Names names_;

  /// Parses an expression, or several separated by commas as a tuple. `end` is a name that ends it.
  NodePointer tuple(bool with_condition = true, std::string_view end = {}, bool in_parentheses = false) {
    return tuple_of([&] { return with_condition ? expression() : either(); }, end, in_parentheses);
  }

  template <class Parse>
  NodePointer tuple_of(const Parse& parse, std::string_view end, bool in_parentheses) {
    NodePointer node = make(NodeKind::tuple, current().line);
    bool is_tuple = false;
    for (;;) {
      if (is_tuple_end(end)) break;
      adopt(*node, parse());
      if (!skip(",")) break;
      is_tuple = true;
    }
    if (is_tuple || (node->children.empty() && in_parentheses)) return node;
    if (node->children.empty()) fail("expected an expression, found " + describe(current()));
    return std::move(node->children[0]);
  }

  bool is_tuple_end(std::string_view end) const {
    const TokenKind kind = current().kind;
    return kind == TokenKind::variable_end || kind == TokenKind::block_end || is(")") || (!end.empty() && is_name(end));
  }

  /// condition: children = condition, value, other (which may be missing).
  NodePointer expression() {
    const Open open(*this);
    NodePointer value = either();
    while (is_name("if")) {
      NodePointer node = make(NodeKind::condition, next().line);
      adopt(*node, either());
      adopt(*node, std::move(value));
      if (skip_name("else")) adopt(*node, expression());
      value = std::move(node);
    }
    return value;
  }

  NodePointer either() {
    return chain(
        NodeKind::either, [&] { return both(); }, [&] { return is_name("or"); });
  }
  NodePointer both() {
    return chain(
        NodeKind::both, [&] { return negation(); }, [&] { return is_name("and"); });
  }

  /// Parses binary operators, grouped from the left.
  template <class Parse, class Matches>
  NodePointer chain(NodeKind kind, const Parse& parse, const Matches& matches) {
    NodePointer left = parse();
    while (matches()) {
      NodePointer node = make(kind, current().line);
      node->text = next().value;
      adopt(*node, std::move(left));
      adopt(*node, parse());
      left = std::move(node);
    }
    return left;
  }

  NodePointer negation() {
    if (!is_name("not")) return comparison();
    const Open open(*this);
    NodePointer node = make(NodeKind::negate, next().line);
    adopt(*node, negation());
    return node;
  }

  /// compare: children = first operand, then one comparison node (text = operator, child = operand) each.
  NodePointer comparison() {
    NodePointer first = sum();
    NodePointer node;
    for (;;) {
      std::string sign;
      if (is("==") || is("!=") || is("<") || is("<=") || is(">") || is(">=") || is_name("in")) {
        sign = current().value;
      } else if (is_name("not") && look().name("in")) {
        next();
        sign = "not in";
      } else {
        break;
      }
      if (node == nullptr) {
        node = make(NodeKind::compare, current().line);
        adopt(*node, std::move(first));
      }
      NodePointer operand = make(NodeKind::compare, next().line);
      operand->text = sign;
      adopt(*operand, sum());
      adopt(*node, std::move(operand));
    }
    return node == nullptr ? std::move(first) : std::move(node);
  }

  NodePointer sum() {
    return chain(
        NodeKind::binary, [&] { return concatenation(); }, [&] { return is("+") || is("-"); });
  }

  NodePointer concatenation() {
    NodePointer first = product();
    if (!is("~")) return first;
    NodePointer node = make(NodeKind::concat, current().line);
    adopt(*node, std::move(first));
    while (skip("~")) adopt(*node, product());
    return node;
  }

  NodePointer product() {
    return chain(
        NodeKind::binary, [&] { return power(); }, [&] { return is("*") || is("/") || is("//") || is("%"); });
  }
  NodePointer power() {
    return chain(
        NodeKind::binary, [&] { return unary(true); }, [&] { return is("**"); });
  }

  NodePointer unary(bool with_filters) {
    const Open open(*this);
    NodePointer node;
    if (is("-") || is("+")) {
      node = make(is("-") ? NodeKind::minus : NodeKind::plus, current().line);
      next();
      adopt(*node, unary(false));
    } else {
      node = primary();
    }
    node = postfix(std::move(node));
    return with_filters ? filters(std::move(node)) : std::move(node);
  }

  static bool is_constant_name(std::string_view name) {
    return name == "true" || name == "True" || name == "false" || name == "False" || name == "none" || name == "None";
  }

  NodePointer constant(Value value, std::size_t line) const {
    NodePointer node = make(NodeKind::constant, line);
    node->value = std::move(value);
    return node;
  }

  NodePointer text_constant(std::string text, std::size_t line) const {
    return constant({Kind::text, std::make_shared<Text>(Text{std::move(text), {}, false})}, line);
  }

  /// Parses a name or a literal. `with_space` allows `namespace.attribute`, which can be assigned.
  NodePointer primary(bool with_space = false) {
    const Token& token = current();
    switch (token.kind) {
      case TokenKind::name: next(); return named(token, with_space);
      case TokenKind::text: {
        std::string text;
        while (current().kind == TokenKind::text) text += next().value;
        return text_constant(std::move(text), token.line);
      }
      case TokenKind::integer: next(); return constant(token.integer, token.line);
      case TokenKind::real: next(); return constant(token.real, token.line);
      default: break;
    }
    if (skip("(")) {
      const Open open(*this);
      NodePointer node = tuple(true, {}, true);
      expect(")");
      return node;
    }
    if (is("[")) return list();
    if (is("{")) return dict();
    fail("unexpected " + describe(token));
  }

  NodePointer named(const Token& token, bool with_space) {
    if (token.value == "true" || token.value == "True") return constant(true, token.line);
    if (token.value == "false" || token.value == "False") return constant(false, token.line);
    if (token.value == "none" || token.value == "None") return constant(Value::none(), token.line);
    NodePointer node = make(NodeKind::name, token.line);
    node->name = names_(token.value);
    if (with_space && skip(".")) {
      node->kind = NodeKind::space_attribute;
      node->text = expect_any_name();
    }
    return node;
  }

  NodePointer list() {
    NodePointer node = make(NodeKind::list, next().line);
    const Open open(*this);
    while (!is("]")) {
      if (!node->children.empty()) expect(",");
      if (is("]")) break;
      adopt(*node, expression());
    }
    expect("]");
    return node;
  }

  /// dict: children = key, value, key, value, ...
  NodePointer dict() {
    NodePointer node = make(NodeKind::dict, next().line);
    const Open open(*this);
    while (!is("}")) {
      if (!node->children.empty()) expect(",");
      if (is("}")) break;
      adopt(*node, expression());
      expect(":");
      adopt(*node, expression());
    }
    expect("}");
    return node;
  }

  NodePointer postfix(NodePointer node) {
    for (;;) {
      if (is(".") || is("[")) {
        node = subscript(std::move(node));
      } else if (is("(")) {
        node = call(std::move(node));
      } else {
        return node;
      }
    }
  }

  NodePointer filters(NodePointer node) {
    for (;;) {
      if (is("|")) {
        node = filter(std::move(node));
      } else if (is_name("is")) {
        node = test(std::move(node));
      } else if (is("(")) {
        node = call(std::move(node));
      } else {
        return node;
      }
    }
  }

  /// attribute: child = object, text = name. item: children = object, index.
  NodePointer subscript(NodePointer object) {
    const std::size_t line = current().line;
    NodePointer node = make(NodeKind::item, line);
    adopt(*node, std::move(object));
    if (skip(".")) {
      const Token& token = next();
      if (token.kind == TokenKind::name) {
        node->kind = NodeKind::attribute;
        node->text = token.value;
      } else if (token.kind == TokenKind::integer) {
        adopt(*node, constant(token.integer, token.line));
      } else {
        fail("expected a name or a number after '.', found " + describe(token), token.line);
      }
      return node;
    }
    expect("[");
    const Open open(*this);
    NodePointer keys = make(NodeKind::tuple, line);
    while (!is("]")) {
      if (!keys->children.empty()) expect(",");
      adopt(*keys, index());
    }
    expect("]");
    adopt(*node, keys->children.size() == 1 ? std::move(keys->children[0]) : std::move(keys));
    return node;
  }

  /// slice: children = start, stop, step; null where absent.
  NodePointer index() {
    NodePointer node = make(NodeKind::slice, current().line);
    NodePointer first = is(":") ? nullptr : expression();
    if (!is(":")) return first;
    const auto at_end = [&] { return is(":") || is("]") || is(","); };
    adopt(*node, std::move(first));
    next();
    adopt(*node, at_end() ? nullptr : expression());
    adopt(*node, skip(":") && !is("]") && !is(",") ? expression() : nullptr);
    return node;
  }

  /// call: child = the callee.
  NodePointer call(NodePointer callee) {
    NodePointer node = make(NodeKind::call, current().line);
    adopt(*node, std::move(callee));
    call_arguments(*node);
    return node;
  }

  void call_arguments(Node& node) {
    const std::size_t line = current().line;
    expect("(");
    const Open open(*this);
    CallArguments& into = node.arguments;
    for (bool first = true; !is(")"); first = false) {
      if (!first) {
        expect(",");
        if (is(")")) break;
      }
      argument(node, into, line);
    }
    expect(")");
  }

  void argument(Node& node, CallArguments& into, std::size_t line) {
    const auto ensure = [&](bool valid) {
      if (!valid) fail("the arguments of the call are out of order, or one is given twice", line);
    };
    if (skip("*")) {
      ensure(into.sequence == nullptr && into.mapping == nullptr);
      into.sequence = expression();
      raise(node, into.sequence);
    } else if (skip("**")) {
      ensure(into.mapping == nullptr);
      into.mapping = expression();
      raise(node, into.mapping);
    } else if (current().kind == TokenKind::name && look().symbol("=")) {
      ensure(into.mapping == nullptr);
      Keyword keyword{next().value, nullptr};
      next();
      for (const Keyword& other : into.named) ensure(other.name != keyword.name);
      keyword.value = expression();
      raise(node, keyword.value);
      into.named.push_back(std::move(keyword));
    } else {
      ensure(into.sequence == nullptr && into.mapping == nullptr && into.named.empty());
      adopt(node, into.positional, expression());
    }
  }

  std::string dotted_name() {
    std::string name = expect_any_name();
    while (skip(".")) name += "." + expect_any_name();
    return name;
  }

  /// filter: text = name, child = value (none in a filter block). The '|' is read here unless `inline_first`.
  NodePointer filter(NodePointer value, bool inline_first = false) {
    while (is("|") || inline_first) {
      if (!inline_first) next();
      inline_first = false;
      NodePointer node = make(NodeKind::filter, current().line);
      node->text = dotted_name();
      if (value != nullptr) adopt(*node, std::move(value));
      if (is("(")) call_arguments(*node);
      value = std::move(node);
    }
    return value;
  }

  /// test: text = name, child = value, flag = negated.
  NodePointer test(NodePointer value) {
    NodePointer node = make(NodeKind::test, next().line);
    adopt(*node, std::move(value));
    node->flag = skip_name("not");
    node->text = dotted_name();
    const TokenKind kind = current().kind;
    const bool literal = kind == TokenKind::text || kind == TokenKind::integer || kind == TokenKind::real;
    const bool name = kind == TokenKind::name && !is_name("else") && !is_name("or") && !is_name("and");
    if (is("(")) {
      call_arguments(*node);
    } else if (literal || name || is("[") || is("{")) {
      if (is_name("is")) fail("tests cannot be chained with 'is'");
      adopt(*node, node->arguments.positional, postfix(primary()));
    }
    return node;
  }
};

}  // namespace veneer::jinja
