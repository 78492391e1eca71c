// SPDX-License-Identifier: Apache-2.0
/// \file interpreter.hpp
/// Interpreter: executes the statements of a template. Names are looked up from the innermost scope outwards, then
/// in the variables.
///
/// Scopes: the template, a loop iteration, a macro, a call block, a filter block, a block set, `with`, `generation`. An
/// assignment is local to its scope; `if` has no scope. A name that its scope assigns before reading it is undefined
/// until the assignment is executed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/jinja/evaluate.hpp"

namespace veneer::jinja {

enum class Flow { next, break_loop, continue_loop };

/// A range of the final text in the units of transformers: the bytes before it at the top level, and characters.
struct Generation {
  std::size_t begin;
  std::size_t characters;
};

class Interpreter : public Evaluator {
 public:
  using Evaluator::Evaluator;

  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  /// Breaks reference cycles: captured scopes and namespaces are emptied while all of them are still alive.
  ~Interpreter() {
    for (const auto& scope : captured_) scope->clear();
    for (const auto& space : spaces_) space->attributes.entries.clear();
  }

  Text run() {
    out_ = &root_;
    const ScopePointer scope = open(nullptr, tree_.hidden);
    execute(tree_.body, scope);
    return std::move(root_);
  }

  const std::vector<Generation>& generations() const { return generations_; }

 private:
  Flow execute(const Body& body, const ScopePointer& scope) {
    for (const NodePointer& node : body) {
      const Flow flow = execute(*node, scope);
      if (flow != Flow::next) return flow;
    }
    return Flow::next;
  }

  Flow execute(const Node& node, const ScopePointer& scope) {
    const Runtime::Level level(runtime_);
    runtime_.step();
    runtime_.line = node.line;
    switch (node.kind) {
      case NodeKind::data: write(node.text); return Flow::next;
      case NodeKind::output:
        for (const NodePointer& child : node.children) output(evaluate(*child, scope));
        return Flow::next;
      case NodeKind::set: assign(*node.children[0], evaluate(*node.children[1], scope), scope); return Flow::next;
      case NodeKind::if_else: return if_else(node, scope);
      case NodeKind::for_loop: return for_loop(node, scope);
      case NodeKind::break_loop: return Flow::break_loop;
      case NodeKind::continue_loop: return Flow::continue_loop;
      case NodeKind::set_block: return set_block(node, scope);
      case NodeKind::macro: scope->set(node.name, macro(node, scope, tree_.names.texts[node.name])); return Flow::next;
      case NodeKind::call_block: return call_block(node, scope);
      case NodeKind::filter_block: return filter_block(node, scope);
      case NodeKind::with: return with(node, scope);
      case NodeKind::scope: return execute(node.body, open(scope, node.hidden));
      case NodeKind::generation: return generation(node, scope);
      default: runtime_.fail("an expression where a statement is expected");
    }
  }

  void write(std::string_view constant) {
    runtime_.fits(out_->bytes.size() + constant.size());
    out_->add(constant);
  }
  void write(const Text& text) {
    runtime_.fits(out_->bytes.size() + text.bytes.size());
    out_->add(text);
  }
  void output(const Value& value) {
    if (value.is_text()) return write(value.text());
    write(to_text(runtime_, value));
  }

  /// Returns the output of `body`.
  template <class Run>
  Text captured(const Run& run, Flow* flow = nullptr) {
    Text text;
    Text* const outer = std::exchange(out_, &text);
    try {
      const Flow end = run();
      if (flow != nullptr) *flow = end;
    } catch (...) {
      out_ = outer;
      throw;
    }
    out_ = outer;
    runtime_.charge(text.bytes.size());
    return text;
  }

  Flow if_else(const Node& node, const ScopePointer& scope) {
    if (truth(evaluate(*node.children[0], scope))) return execute(node.body, scope);
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      const Node& branch = *node.children[i];
      if (truth(evaluate(*branch.children[0], scope))) return execute(branch.body, scope);
    }
    return execute(node.otherwise, scope);
  }

  Flow for_loop(const Node& node, const ScopePointer& scope) {
    const Value iterable = evaluate(*node.children[1], scope);
    if (!node.flag) return loop_over(node, scope, iterable, 0);
    write(recursive_loop(node, scope, iterable, 0));
    return Flow::next;
  }

  Text recursive_loop(const Node& node, const ScopePointer& scope, const Value& iterable, std::int64_t depth) {
    return captured([&] { return loop_over(node, scope, iterable, depth); });
  }

  Value make_loop(const Node& node, const ScopePointer& scope, const Value& iterable, std::int64_t depth) {
    auto loop = std::make_shared<Loop>();
    loop->depth0 = depth;
    loop->nesting = nested(runtime_, nesting_of(iterable));
    const auto next = iterate(runtime_, iterable);
    if (node.children[2] == nullptr) {
      loop->length = iterable.is(Kind::loop) ? -1 : length_of(iterable);
      loop->pull = next;
    } else {
      const Node* const test = node.children[2].get();
      const Node* const target = node.children[0].get();
      loop->pull = [this, next, test, target, scope](Value& item) {
        while (next(item)) {
          const ScopePointer inner = open(scope, {});
          assign(*target, item, inner);
          if (truth(evaluate(*test, inner))) return true;
        }
        return false;
      };
    }
    if (node.flag) {
      const std::weak_ptr<Scope> outer = scope;
      loop->recurse = [this, &node, outer, depth](Runtime& runtime, const Value& items) {
        const ScopePointer held = outer.lock();
        if (held == nullptr) runtime.fail("a loop is called after it ended");
        return make_text(runtime, recursive_loop(node, held, items, depth + 1));
      };
    }
    return {Kind::loop, std::move(loop)};
  }

  Flow loop_over(const Node& node, const ScopePointer& scope, const Value& iterable, std::int64_t depth) {
    const Value value = make_loop(node, scope, iterable, depth);
    Loop& loop = value.as<Loop>();
    bool completed = false;
    Value item;
    while (loop.next(item)) {
      runtime_.step();
      ++loop.index0;
      loop.before = std::exchange(loop.current, item);
      const ScopePointer inner = open(scope, node.hidden);
      inner->set(loop_name_, value);
      assign(*node.children[0], item, inner);
      const Flow flow = execute(node.body, inner);
      runtime_.line = node.line;
      if (flow == Flow::break_loop) break;
      completed = completed || flow == Flow::next;
    }
    loop.pull = [](Value&) { return false; };  // a loop kept in a namespace does not hold its scope
    if (completed || node.otherwise.empty()) return Flow::next;
    return execute(node.otherwise, open(scope, node.hidden_otherwise));
  }

  void assign(const Node& target, const Value& value, const ScopePointer& scope) {
    if (target.kind == NodeKind::name) {
      scope->set(target.name, value);
    } else if (target.kind == NodeKind::space_attribute) {
      assign_attribute(target, value, scope);
    } else {
      const std::vector<Value> items = items_of(runtime_, value);
      if (items.size() != target.children.size()) {
        runtime_.fail("cannot unpack " + std::to_string(items.size()) + " values into " +
                      std::to_string(target.children.size()) + " names");
      }
      for (std::size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i], scope);
    }
  }

  void assign_attribute(const Node& target, const Value& value, const ScopePointer& scope) {
    const Value space = lookup(target.name, scope);
    if (!space.is(Kind::space)) runtime_.fail("'" + tree_.names.texts[target.name] + "' is not a namespace");
    if (target.text[0] == '_') runtime_.fail("attributes of a namespace cannot begin with '_'");
    put_entry(runtime_, space.as<Space>().attributes, make_text(runtime_, target.text), value);
  }

  Flow set_block(const Node& node, const ScopePointer& scope) {
    const ScopePointer inner = open(scope, node.hidden);
    Flow flow = Flow::next;
    Value value = make_text(runtime_, captured([&] { return execute(node.body, inner); }, &flow));
    if (flow != Flow::next) return flow;
    if (node.children[1] != nullptr) value = evaluate_filter(*node.children[1], inner, &value);
    assign(*node.children[0], value, scope);
    return Flow::next;
  }

  Flow filter_block(const Node& node, const ScopePointer& scope) {
    const ScopePointer inner = open(scope, node.hidden);
    Flow flow = Flow::next;
    const Value value = make_text(runtime_, captured([&] { return execute(node.body, inner); }, &flow));
    if (flow != Flow::next) return flow;
    output(evaluate_filter(*node.children[0], inner, &value));
    return Flow::next;
  }

  Flow with(const Node& node, const ScopePointer& scope) {
    const ScopePointer inner = open(scope, node.hidden);
    for (std::size_t i = 0; i < node.children.size(); i += 2) {
      assign(*node.children[i], evaluate(*node.children[i + 1], scope), inner);
    }
    return execute(node.body, inner);
  }

  Flow call_block(const Node& node, const ScopePointer& scope) {
    const Value caller = macro(node, scope, "caller");
    output(evaluate_call(*node.otherwise[0], scope, &caller));
    return Flow::next;
  }

  Flow generation(const Node& node, const ScopePointer& scope) {
    const ScopePointer inner = open(scope, node.hidden);
    const Text text = captured([&] { return execute(node.body, inner); });
    generations_.push_back({root_.bytes.size(), count_characters(text.bytes)});
    write(text);
    return Flow::next;
  }

  /// Returns a macro, or the caller of a call block.
  Value macro(const Node& node, const ScopePointer& scope, const std::string& name) {
    capture(scope);
    Scope* const outer = scope.get();  // owned by `captured_`
    return make_function(runtime_, name, [this, &node, outer, name](Runtime&, Arguments& arguments) {
      return call_macro(node, outer->shared_from_this(), name, arguments);
    });
  }

  void capture(const ScopePointer& scope) {
    for (ScopePointer held = scope; held != nullptr && !held->captured; held = held->parent()) {
      held->captured = true;
      captured_.push_back(held);
      runtime_.charge(sizeof(Scope));
    }
  }

  Value call_macro(const Node& node, const ScopePointer& outer, const std::string& name, Arguments& arguments) {
    const std::size_t line = runtime_.line;
    const ScopePointer scope = open(outer, node.hidden);
    bind(node, scope, name, arguments);
    Value value = make_text(runtime_, captured([&] { return execute(node.body, scope); }));
    runtime_.line = line;
    return value;
  }

  void bind(const Node& node, const ScopePointer& scope, const std::string& name, Arguments& arguments) {
    const std::size_t count = node.parameters.size();
    std::vector<Value> values(count);
    for (std::size_t i = 0; i < count && i < arguments.positional.size(); ++i) values[i] = arguments.positional[i];
    bool has_caller = false;
    for (std::size_t i = 0; i < count; ++i) {
      const bool given = i < arguments.positional.size();
      const std::string& parameter = tree_.names.texts[node.parameters[i]];
      if (parameter == "caller" && (!given || arguments.positional.size() >= count)) has_caller = true;
      if (!given) values[i] = take_named(arguments, parameter);
    }
    if (node.flag && !has_caller) bind_caller(scope, arguments);
    if (node.flag2) {
      std::vector<std::pair<Value, Value>> entries;
      for (auto& [key, value] : arguments.named) entries.emplace_back(make_text(runtime_, key), std::move(value));
      scope->set(tree_.names.find("kwargs"), make_dict(runtime_, std::move(entries)));
    } else if (!arguments.named.empty()) {
      runtime_.fail("the macro '" + name + "' has no parameter '" + printable(arguments.named[0].first, 40) + "'");
    }
    if (node.flag3) {
      std::vector<Value> rest;
      for (std::size_t i = count; i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
      scope->set(tree_.names.find("varargs"), make_tuple(runtime_, std::move(rest)));
    } else if (arguments.positional.size() > count) {
      runtime_.fail("the macro '" + name + "' takes at most " + std::to_string(count) + " values");
    }
    const std::size_t first_default = count - node.children.size();
    for (std::size_t i = 0; i < count; ++i) scope->set(node.parameters[i], values[i]);
    for (std::size_t i = 0; i < count; ++i) {
      if (!values[i].is_missing()) continue;
      const std::string& parameter = tree_.names.texts[node.parameters[i]];
      scope->set(node.parameters[i], i >= first_default
                                         ? evaluate(*node.children[i - first_default], scope)
                                         : make_undefined("parameter '" + parameter + "' was not provided"));
    }
  }

  static Value take_named(Arguments& arguments, const std::string& name) {
    for (std::size_t i = 0; i < arguments.named.size(); ++i) {
      if (arguments.named[i].first != name) continue;
      Value value = std::move(arguments.named[i].second);
      arguments.named.erase(arguments.named.begin() + static_cast<std::ptrdiff_t>(i));
      return value;
    }
    return {};
  }

  void bind_caller(const ScopePointer& scope, Arguments& arguments) {
    Value caller = take_named(arguments, "caller");
    if (caller.is_missing() || caller.is(Kind::none)) caller = make_undefined("no caller is defined");
    scope->set(tree_.names.find("caller"), std::move(caller));
  }

  Text root_;
  Text* out_ = nullptr;
  std::vector<Generation> generations_;
  std::vector<ScopePointer> captured_;
};

}  // namespace veneer::jinja
