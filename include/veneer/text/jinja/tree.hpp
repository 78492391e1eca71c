// SPDX-License-Identifier: Apache-2.0
/// \file tree.hpp
/// The syntax tree of a template. Names are interned: a node holds the index of a name in `Tree::names`.
///
/// A frame (the template, a loop body, a macro, ...) may assign a name before it reads it. Until the assignment is
/// executed such a name is undefined, even if a variable has the same name, as in jinja2, which determines this at
/// compile time. `hidden` lists these names; resolve.hpp computes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "veneer/text/jinja/runtime.hpp"
#include "veneer/text/jinja/value.hpp"

namespace veneer::jinja {

enum class NodeKind {
  // Expressions.
  constant,
  name,
  tuple,
  list,
  dict,
  attribute,
  item,
  slice,
  call,
  filter,
  test,
  negate,
  plus,
  minus,
  binary,
  both,
  either,
  compare,
  concat,
  condition,
  // Assignment targets other than names and tuples.
  space_attribute,
  // Statements.
  output,
  data,
  set,
  set_block,
  for_loop,
  if_else,
  macro,
  call_block,
  filter_block,
  with,
  scope,
  generation,
  break_loop,
  continue_loop,
};

struct Node;
using NodePointer = std::unique_ptr<Node>;
using Body = std::vector<NodePointer>;

/// A keyword argument or a `**` argument (name is empty).
struct Keyword {
  std::string name;
  NodePointer value;
};

struct CallArguments {
  Body positional;
  std::vector<Keyword> named;
  NodePointer sequence, mapping;  // *args and **kwargs, or null
};

/// A node of any kind. The meaning of the members is documented in the parser of each kind.
struct Node {
  NodeKind kind;
  std::size_t line;
  std::size_t height = 1;  // of the subtree
  std::size_t name = 0;    // index of a name
  std::string text;        // operator, attribute, filter, test, data
  Value value{};           // constant
  Body children{};
  Body body{}, otherwise{};
  CallArguments arguments{};
  std::vector<std::size_t> parameters{};  // names of macro and call block
  std::vector<std::size_t> hidden{};      // of the frame of this node: see above
  std::vector<std::size_t> hidden_otherwise{};
  bool flag = false;   // a recursive loop; a negated test; a macro that reads caller
  bool flag2 = false;  // a macro that reads kwargs
  bool flag3 = false;  // a macro that reads varargs
};

struct Names {
  std::vector<std::string> texts;
  std::unordered_map<std::string, std::size_t> indices;

  std::size_t operator()(const std::string& text) {
    const auto [entry, is_new] = indices.emplace(text, texts.size());
    if (is_new) texts.push_back(text);
    return entry->second;
  }
  std::size_t find(const std::string& text) const {
    const auto entry = indices.find(text);
    return entry == indices.end() ? std::string::npos : entry->second;
  }
};

struct Tree {
  Body body;
  Names names;
  std::vector<std::size_t> hidden;  // of the template itself
  bool has_generation = false;
};

}  // namespace veneer::jinja
