// SPDX-License-Identifier: Apache-2.0
/// \file evaluate.hpp
/// Evaluation of expressions: names, operators, calls, filters and tests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/jinja/access.hpp"
#include "veneer/text/jinja/arithmetic.hpp"
#include "veneer/text/jinja/filters.hpp"
#include "veneer/text/jinja/globals.hpp"
#include "veneer/text/jinja/tests.hpp"
#include "veneer/text/jinja/tree.hpp"

namespace veneer::jinja {

/// The names that were assigned in one execution of a frame. A name whose value is missing is undefined.
class Scope : public std::enable_shared_from_this<Scope> {
 public:
  Scope(std::shared_ptr<Scope> parent, const std::vector<std::size_t>& hidden) : parent_(std::move(parent)) {
    values_.reserve(hidden.size());
    for (const std::size_t name : hidden) values_.emplace_back(name, Value());
  }

  const std::shared_ptr<Scope>& parent() const { return parent_; }
  bool captured = false;  // by a macro

  const Value* find(std::size_t name) const {
    for (const auto& [other, value] : values_) {
      if (other == name) return &value;
    }
    return nullptr;
  }
  void set(std::size_t name, Value value) {
    for (auto& [other, old] : values_) {
      if (other != name) continue;
      old = std::move(value);
      return;
    }
    values_.emplace_back(name, std::move(value));
  }
  void clear() { values_.clear(); }

 private:
  std::shared_ptr<Scope> parent_;
  std::vector<std::pair<std::size_t, Value>> values_;
};

using ScopePointer = std::shared_ptr<Scope>;
using Variables = std::unordered_map<std::string, Value>;

class Evaluator {
 public:
  Evaluator(const Tree& tree, Runtime& runtime, const Variables& variables)
      : tree_(tree), runtime_(runtime), variables_(variables), loop_name_(tree.names.find("loop")) {
    globals_ = make_globals(runtime, spaces_);
  }

 protected:
  ScopePointer open(const ScopePointer& parent, const std::vector<std::size_t>& hidden) {
    return std::make_shared<Scope>(parent, hidden);
  }

  Value lookup(std::size_t name, const ScopePointer& scope) const {
    const Value* found = nullptr;
    for (const Scope* inner = scope.get(); inner != nullptr && found == nullptr; inner = inner->parent().get()) {
      found = inner->find(name);
    }
    const std::string& text = tree_.names.texts[name];
    if (found == nullptr) {
      if (const auto variable = variables_.find(text); variable != variables_.end()) return variable->second;
      if (const auto global = globals_.find(text); global != globals_.end()) return global->second;
    }
    return found != nullptr && !found->is_missing() ? *found : make_undefined("'" + text + "' is undefined");
  }

  Value evaluate(const Node& node, const ScopePointer& scope) {
    const Runtime::Level level(runtime_);
    runtime_.step();
    runtime_.line = node.line;
    switch (node.kind) {
      case NodeKind::constant: return node.value;
      case NodeKind::name: return lookup(node.name, scope);
      case NodeKind::tuple: return make_tuple(runtime_, all(node.children, scope));
      case NodeKind::list: return make_list(runtime_, all(node.children, scope));
      case NodeKind::dict: return dict(node, scope);
      case NodeKind::attribute: {
        const Value object = evaluate(*node.children[0], scope);
        return get_attribute(runtime_, object, make_text(runtime_, node.text));
      }
      case NodeKind::item: return item(node, scope);
      case NodeKind::call: return evaluate_call(node, scope, nullptr);
      case NodeKind::filter: return evaluate_filter(node, scope, nullptr);
      case NodeKind::test: return test(node, scope);
      case NodeKind::negate: return !truth(evaluate(*node.children[0], scope));
      case NodeKind::plus: return signed_value(runtime_, "+", evaluate(*node.children[0], scope));
      case NodeKind::minus: return signed_value(runtime_, "-", evaluate(*node.children[0], scope));
      case NodeKind::binary: {
        const Value left = evaluate(*node.children[0], scope);
        return binary(runtime_, node.text, left, evaluate(*node.children[1], scope));
      }
      case NodeKind::both:
      case NodeKind::either: {
        Value left = evaluate(*node.children[0], scope);
        return truth(left) == (node.kind == NodeKind::either) ? left : evaluate(*node.children[1], scope);
      }
      case NodeKind::compare: return comparison(node, scope);
      case NodeKind::concat: return concatenation(node, scope);
      case NodeKind::condition: return condition(node, scope);
      default: runtime_.fail("a statement where an expression is expected");
    }
  }

  /// Calls a filter on `value`, or on the filter's own operand when that is given.
  Value evaluate_filter(const Node& node, const ScopePointer& scope, const Value* value) {
    const Runtime::Level level(runtime_);
    const Value operand = !node.children.empty() ? (node.children[0]->kind == NodeKind::filter && value != nullptr
                                                        ? evaluate_filter(*node.children[0], scope, value)
                                                        : evaluate(*node.children[0], scope))
                                                 : *value;
    Arguments arguments = evaluate_arguments(node, scope);
    runtime_.line = node.line;
    return call_filter(runtime_, node.text, operand, arguments);
  }

  Value evaluate_call(const Node& node, const ScopePointer& scope, const Value* caller) {
    const Value callee = evaluate(*node.children[0], scope);
    Arguments arguments = evaluate_arguments(node, scope);
    if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
    runtime_.line = node.line;
    return call_value(runtime_, callee, arguments);
  }

  const Tree& tree_;
  Runtime& runtime_;
  const Variables& variables_;
  const std::size_t loop_name_;
  Spaces spaces_;

 private:
  std::vector<Value> all(const Body& nodes, const ScopePointer& scope) {
    std::vector<Value> values;
    values.reserve(nodes.size());
    for (const NodePointer& node : nodes) values.push_back(evaluate(*node, scope));
    return values;
  }

  Value dict(const Node& node, const ScopePointer& scope) {
    Dict dict;
    for (std::size_t i = 0; i < node.children.size(); i += 2) {
      Value key = evaluate(*node.children[i], scope);
      put_entry(runtime_, dict, std::move(key), evaluate(*node.children[i + 1], scope));
    }
    return make_dict(runtime_, std::move(dict.entries));
  }

  Value item(const Node& node, const ScopePointer& scope) {
    const Value object = evaluate(*node.children[0], scope);
    const Node& index = *node.children[1];
    if (index.kind != NodeKind::slice) return get_item(runtime_, object, evaluate(index, scope));
    Value parts[3];
    for (std::size_t i = 0; i < 3; ++i) {
      if (index.children[i] != nullptr) parts[i] = evaluate(*index.children[i], scope);
    }
    return get_slice(runtime_, object, parts);
  }

  Arguments evaluate_arguments(const Node& node, const ScopePointer& scope) {
    Arguments arguments;
    arguments.positional = all(node.arguments.positional, scope);
    for (const Keyword& keyword : node.arguments.named) {
      arguments.named.emplace_back(keyword.name, evaluate(*keyword.value, scope));
    }
    if (node.arguments.sequence != nullptr) {
      for (Value& value : items_of(runtime_, evaluate(*node.arguments.sequence, scope))) {
        arguments.positional.push_back(std::move(value));
      }
    }
    if (node.arguments.mapping != nullptr) spread(evaluate(*node.arguments.mapping, scope), arguments);
    return arguments;
  }

  void spread(const Value& mapping, Arguments& arguments) {
    if (!mapping.is(Kind::dict)) runtime_.fail("'**' in a call needs a dict, not " + type_name(mapping));
    for (const auto& [key, value] : mapping.as<Dict>().entries) {
      if (!key.is_text()) runtime_.fail("'**' in a call needs a dict whose keys are texts");
      for (const auto& other : arguments.named) {
        if (other.first == key.text().bytes) runtime_.fail("the argument '" + other.first + "' is given twice");
      }
      arguments.named.emplace_back(key.text().bytes, value);
    }
  }

  Value test(const Node& node, const ScopePointer& scope) {
    const Value operand = evaluate(*node.children[0], scope);
    Arguments arguments = evaluate_arguments(node, scope);
    runtime_.line = node.line;
    const Value result = call_test(runtime_, node.text, operand, arguments);
    return node.flag ? Value(!truth(result)) : result;
  }

  Value comparison(const Node& node, const ScopePointer& scope) {
    Value left = evaluate(*node.children[0], scope);
    bool holds = true;
    for (std::size_t i = 1; i < node.children.size() && holds; ++i) {
      Value right = evaluate(*node.children[i]->children[0], scope);
      runtime_.line = node.children[i]->line;
      holds = compared(runtime_, node.children[i]->text, left, right);
      left = std::move(right);
    }
    return holds;
  }

  Value concatenation(const Node& node, const ScopePointer& scope) {
    Text text;
    for (const NodePointer& child : node.children) {
      Text part = to_text(runtime_, evaluate(*child, scope));
      runtime_.fits(text.bytes.size() + part.bytes.size());
      text.add(part);
    }
    return make_text(runtime_, std::move(text));
  }

  Value condition(const Node& node, const ScopePointer& scope) {
    if (truth(evaluate(*node.children[0], scope))) return evaluate(*node.children[1], scope);
    if (node.children.size() > 2) return evaluate(*node.children[2], scope);
    return make_undefined("an inline 'if' without 'else' whose condition is false");
  }

  Variables globals_;
};

}  // namespace veneer::jinja
