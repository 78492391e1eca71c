// SPDX-License-Identifier: Apache-2.0
/// \file jinja.hpp
/// JinjaTemplate: an interpreter of the Jinja dialect of chat templates in transformers (jinja2
/// 3.1.6, immutable sandbox).
///
///     const JinjaTemplate chat(source);
///     const RenderedJinja out = chat.render({{"messages", messages}, {"add_generation_prompt", true}});
///     out.text, out.inputs (bytes that come from messages), out.generations (bytes inside {% generation %})
///
/// A template has access to its variables and nothing else. Steps, depth and memory are limited: JinjaOptions. Tags,
/// filters and methods that are not supported (include, import, extends, block, a few filters) are errors that name the
/// construct and its line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/text/jinja/interpreter.hpp"
#include "veneer/text/jinja/parse_statement.hpp"
#include "veneer/text/jinja/resolve.hpp"

namespace veneer {

/// The result of rendering a template.
struct RenderedJinja {
  std::string text;
  std::vector<ByteRange> inputs;       // bytes from strings inside the variables `input_names`: in order, merged
  std::vector<ByteRange> generations;  // bytes written inside {% generation %}, in the order in which the blocks end
};

namespace jinja {

/// Returns the value of JSON; texts are marked as input if `input` is set.
inline Value from_json(Runtime& runtime, const Json& json, bool input) {
  const Runtime::Level level(runtime);
  const auto text = [&](const std::string& bytes) {
    if (find_invalid_utf8(bytes)) runtime.fail("a variable holds a text that is not UTF-8: " + printable(bytes));
    Text out;
    out.add(bytes, input);
    return make_text(runtime, std::move(out));
  };
  switch (json.type()) {
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      for (const auto& [key, value] : json.items()) entries.emplace_back(text(key), from_json(runtime, value, input));
      return make_dict(runtime, std::move(entries));
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) items.push_back(from_json(runtime, item, input));
      return make_list(runtime, std::move(items));
    }
    case Json::value_t::string: return text(json.get_ref<const std::string&>());
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer: return json.get<std::int64_t>();
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() >> 63 != 0) runtime.fail("a variable holds an integer above 64 bits");
      return static_cast<std::int64_t>(json.get<std::uint64_t>());
    default: return Value::none();
  }
}

}  // namespace jinja

/// A parsed template.
class JinjaTemplate {
 public:
  /// Parses a template. Throws JinjaError if `source` is not a template. `where` names it in messages.
  explicit JinjaTemplate(std::string source, std::string where = "chat template") : where_(std::move(where)) {
    auto tree = std::make_shared<jinja::Tree>(jinja::Parser(source, where_).tree());
    jinja::Resolver(*tree, where_).resolve();
    tree_ = std::move(tree);
  }

  /// Renders with the members of an object as variables. Throws JinjaError.
  RenderedJinja render(const Json& variables, const JinjaOptions& options = {}) const {
    expects(variables.is_object(), "veneer::JinjaTemplate::render(variables): expected an object");
    jinja::Runtime runtime(options, where_);
    jinja::Variables values;
    for (const auto& [name, value] : variables.items()) {
      const auto& inputs = options.input_names;
      const bool is_input = std::find(inputs.begin(), inputs.end(), name) != inputs.end();
      values.emplace(name, jinja::from_json(runtime, value, is_input));
    }
    jinja::Interpreter interpreter(*tree_, runtime, values);
    jinja::Text text = interpreter.run();
    std::vector<ByteRange> generations;
    for (const jinja::Generation& range : interpreter.generations()) {
      const std::size_t begin = std::min(range.begin, text.bytes.size());
      const auto rest = std::string_view(text.bytes).substr(begin);
      generations.push_back({begin, begin + jinja::byte_of_character(rest, range.characters)});
    }
    return {std::move(text.bytes), std::move(text.input), std::move(generations)};
  }

  bool has_generation() const { return tree_->has_generation; }

 private:
  std::string where_;
  std::shared_ptr<const jinja::Tree> tree_;
};

}  // namespace veneer
