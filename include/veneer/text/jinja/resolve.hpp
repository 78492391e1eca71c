// SPDX-License-Identifier: Apache-2.0
/// \file resolve.hpp
/// The analysis that jinja2 makes when it compiles a template: which names a frame hides, which filters and tests are
/// unknown, and which of the special names (caller, kwargs, varargs) a macro reads.
///
/// A name is hidden in a frame when its first use there, in the order of the text, is an assignment outside `if`, and
/// no enclosing frame uses it. Unknown filters are errors here, except in `if`, where they are errors when called.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "veneer/text/jinja/filters.hpp"
#include "veneer/text/jinja/tests.hpp"
#include "veneer/text/jinja/tree.hpp"

namespace veneer::jinja {

class Resolver {
 public:
  Resolver(Tree& tree, const std::string& where) : tree_(tree), where_(where) {}

  void resolve() {
    Frame frame{nullptr, {}, {}, {}};
    for (const NodePointer& node : tree_.body) use(*node, frame);
    tree_.hidden = hidden(frame);
    enter(tree_.body, frame, false);
  }

 private:
  using NameSet = std::unordered_set<std::size_t>;
  struct Frame {
    const Frame* parent;
    NameSet known;           // names used here
    NameSet stores;          // names assigned here
    NameSet stored_first{};  // of these, the ones that are undefined before the assignment
    bool finds(std::size_t name) const { return known.contains(name) || (parent != nullptr && parent->finds(name)); }
  };

  static std::vector<std::size_t> hidden(const Frame& frame) {
    std::vector<std::size_t> names(frame.stored_first.begin(), frame.stored_first.end());
    std::sort(names.begin(), names.end());
    return names;
  }

  static void load(std::size_t name, Frame& frame) {
    if (!frame.finds(name)) frame.known.insert(name);
  }
  static void declare(std::size_t name, Frame& frame) {
    frame.known.insert(name);
    frame.stores.insert(name);
    frame.stored_first.erase(name);
  }
  static void store(std::size_t name, Frame& frame) {
    frame.stores.insert(name);
    if (frame.known.contains(name)) return;
    if (frame.parent == nullptr || !frame.parent->finds(name)) frame.stored_first.insert(name);
    frame.known.insert(name);
  }
  static void store_target(const Node& node, Frame& frame, bool parameter) {
    if (node.kind == NodeKind::tuple) {
      for (const NodePointer& child : node.children) store_target(*child, frame, parameter);
    } else if (node.kind == NodeKind::space_attribute) {
      load(node.name, frame);
    } else {
      parameter ? declare(node.name, frame) : store(node.name, frame);
    }
  }

  /// Records the names that `node` uses in `frame`; does not visit nodes that open their own frame.
  void use(const Node& node, Frame& frame) {
    switch (node.kind) {
      case NodeKind::set: use(*node.children[1], frame); return store_target(*node.children[0], frame, false);
      case NodeKind::set_block: return store_target(*node.children[0], frame, false);
      case NodeKind::macro: return store(node.name, frame);
      case NodeKind::for_loop: return use(*node.children[1], frame);
      case NodeKind::call_block: return use(*node.otherwise[0], frame);
      case NodeKind::filter_block: return use(*node.children[0], frame);
      case NodeKind::with:
        for (std::size_t i = 1; i < node.children.size(); i += 2) use(*node.children[i], frame);
        return;
      case NodeKind::scope:
      case NodeKind::generation: return;
      case NodeKind::if_else: return use_branches(node, frame);
      case NodeKind::name: return load(node.name, frame);
      default: return use_operands(node, frame);
    }
  }

  void use_operands(const Node& node, Frame& frame) {
    for (const NodePointer& child : node.children) {
      if (child != nullptr) use(*child, frame);
    }
    for (const NodePointer& child : node.arguments.positional) use(*child, frame);
    for (const Keyword& keyword : node.arguments.named) use(*keyword.value, frame);
    if (node.arguments.sequence != nullptr) use(*node.arguments.sequence, frame);
    if (node.arguments.mapping != nullptr) use(*node.arguments.mapping, frame);
  }

  /// Records the names used in branches. A name assigned only in a branch is the variable of an enclosing
  /// frame until then.
  void use_branches(const Node& node, Frame& frame) {
    use(*node.children[0], frame);
    std::vector<Frame> branches;
    const auto branch = [&](auto&& visit) {
      branches.push_back(frame);
      visit(branches.back());
    };
    branch([&](Frame& inner) {
      for (const NodePointer& child : node.body) use(*child, inner);
    });
    branch([&](Frame& inner) {
      for (std::size_t i = 1; i < node.children.size(); ++i) use_branches(*node.children[i], inner);
    });
    branch([&](Frame& inner) {
      for (const NodePointer& child : node.otherwise) use(*child, inner);
    });
    const NameSet before = frame.stores;
    for (const Frame& inner : branches) {
      frame.known.insert(inner.known.begin(), inner.known.end());
      frame.stores.insert(inner.stores.begin(), inner.stores.end());
    }
    for (const std::size_t name : frame.stores) {
      if (!before.contains(name)) frame.stored_first.erase(name);
    }
  }

  /// Resolves the frames inside `body`. `soft`: unknown filters are errors only when they are called.
  void enter(const Body& body, const Frame& frame, bool soft) {
    for (const NodePointer& node : body) enter(*node, frame, soft);
  }

  void check(const NodePointer& node, bool soft) {
    if (node != nullptr) check(*node, soft);
  }

  /// Checks the filters and tests of an expression.
  void check(const Node& node, bool soft) {
    soft = soft || node.kind == NodeKind::condition;
    if (!soft && node.kind == NodeKind::filter && !is_filter(node.text)) unknown(node, "filter");
    if (!soft && node.kind == NodeKind::test && !is_test(node.text)) unknown(node, "test");
    for (const NodePointer& child : node.children) check(child, soft);
    for (const NodePointer& child : node.arguments.positional) check(child, soft);
    for (const Keyword& keyword : node.arguments.named) check(keyword.value, soft);
    check(node.arguments.sequence, soft);
    check(node.arguments.mapping, soft);
  }

  [[noreturn]] void unknown(const Node& node, const std::string& what) const {
    throw JinjaError(
        where_ + ", line " + std::to_string(node.line) + ": unknown " + what + " '" + printable(node.text, 40) + "'",
        node.line);
  }

  void enter(Node& node, const Frame& frame, bool soft) {
    switch (node.kind) {
      case NodeKind::if_else:
        check(node.children[0], true);
        for (std::size_t i = 1; i < node.children.size(); ++i) enter(*node.children[i], frame, true);
        enter(node.body, frame, true);
        return enter(node.otherwise, frame, true);
      case NodeKind::for_loop: return enter_loop(node, frame, soft);
      case NodeKind::macro: return enter_macro(node, frame);
      case NodeKind::call_block: check(node.otherwise[0], soft); return enter_macro(node, frame);
      case NodeKind::set_block: check(node.children[1], false); return enter_body(node, frame);
      case NodeKind::filter_block: check(node.children[0], false); return enter_body(node, frame);
      case NodeKind::with: {
        for (const NodePointer& child : node.children) check(child, soft);
        Frame inner{&frame, {}, {}, {}};
        for (std::size_t i = 0; i < node.children.size(); i += 2) store_target(*node.children[i], inner, true);
        return enter_body(node, inner, node.hidden);
      }
      case NodeKind::scope:
      case NodeKind::generation: return enter_body(node, frame);
      default: check(node, soft);
    }
  }

  /// Resolves a body with its own frame.
  void enter_body(Node& node, const Frame& frame) {
    Frame inner{&frame, {}, {}, {}};
    enter_body(node, inner, node.hidden);
  }
  void enter_body(Node& node, Frame& inner, std::vector<std::size_t>& names) {
    for (const NodePointer& child : node.body) use(*child, inner);
    names = hidden(inner);
    enter(node.body, inner, false);
  }

  void enter_loop(Node& node, const Frame& frame, bool soft) {
    check(node.children[1], soft);
    check(node.children[2], false);
    Frame inner{&frame, {}, {}, {}};
    if (const std::size_t loop = tree_.names.find("loop"); loop != std::string::npos) declare(loop, inner);
    store_target(*node.children[0], inner, true);
    enter_body(node, inner, node.hidden);
    Frame otherwise{&frame, {}, {}, {}};
    for (const NodePointer& child : node.otherwise) use(*child, otherwise);
    node.hidden_otherwise = hidden(otherwise);
    enter(node.otherwise, otherwise, false);
  }

  void enter_macro(Node& node, const Frame& frame) {
    for (const NodePointer& child : node.children) check(child, false);
    Frame inner{&frame, {}, {}, {}};
    for (const std::size_t name : node.parameters) declare(name, inner);
    for (const char* special : {"caller", "kwargs", "varargs"}) special_name(node, special, inner);
    for (const NodePointer& child : node.children) use(*child, inner);
    enter_body(node, inner, node.hidden);
  }

  /// Records that the body reads a special name that is not a parameter.
  void special_name(Node& node, const std::string& special, Frame& inner) {
    const std::size_t name = tree_.names.find(special);
    if (name == std::string::npos || inner.known.contains(name)) return;
    bool declared = false;
    if (!std::any_of(node.body.begin(), node.body.end(), [&](const auto& n) { return reads(*n, name, declared); }))
      return;
    (special[0] == 'c' ? node.flag : special[0] == 'k' ? node.flag2 : node.flag3) = true;
    declare(name, inner);
  }

  /// Returns whether a name is read anywhere in a node; an assignment before it in a body ends the search there.
  static bool reads(const Node& node, std::size_t name, bool& declared) {
    if (declared) return false;
    if (node.kind == NodeKind::name) return node.name == name;
    const auto any = [&](const Body& nodes) {
      return std::any_of(nodes.begin(), nodes.end(),
                         [&](const auto& n) { return n != nullptr && reads(*n, name, declared); });
    };
    if (any(node.children) || any(node.arguments.positional)) return true;
    for (const Keyword& keyword : node.arguments.named) {
      if (reads(*keyword.value, name, declared)) return true;
    }
    if (node.arguments.sequence != nullptr && reads(*node.arguments.sequence, name, declared)) return true;
    if (node.arguments.mapping != nullptr && reads(*node.arguments.mapping, name, declared)) return true;
    return any(node.body) || any(node.otherwise);
  }

  Tree& tree_;
  const std::string& where_;
};

}  // namespace veneer::jinja
