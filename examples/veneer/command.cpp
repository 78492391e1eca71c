// SPDX-License-Identifier: Apache-2.0
#include "command.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "veneer/core/error.hpp"

#include "recipe_flags.hpp"

namespace veneer::program {

namespace {

/// Splits "a,b" into a, b. \throws ArgumentError when a part is empty
std::vector<std::string> comma_list(const std::string& text, const std::string& flag) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    parts.push_back(text.substr(at, end - at));
    expects(!parts.back().empty(), flag + ": \"" + text + "\" has an empty name; expected names separated by commas");
    at = end + 1;
  }
  return parts;
}

/// Parses all-linear, regex:PATTERN, or names separated by commas.
ModuleChoice module_choice(const std::string& text, const std::string& flag) {
  constexpr std::string_view regex = "regex:";
  if (text == "all-linear") return ModuleChoice::all_linear();
  if (text.starts_with(regex)) {
    expects(text.size() > regex.size(), flag + ": regex: needs a regular expression after the colon");
    return ModuleChoice::regex(text.substr(regex.size()));
  }
  return ModuleChoice(comma_list(text, flag));
}

/// Parses NAME=NUMBER entries in their order; the last = is the separator, since a pattern may contain others.
template <class Number>
PatternMap<Number> pattern_map(const std::vector<std::string>& entries, const std::string& flag) {
  PatternMap<Number> map;
  for (const std::string& entry : entries) {
    const std::size_t sign = entry.rfind('=');
    const bool split = sign != std::string::npos && sign > 0;
    Number number{};
    const char* end = entry.data() + entry.size();
    const char* begin = split ? entry.data() + sign + 1 : end;
    const auto read = std::from_chars(begin, end, number);
    if (!split || begin == end || read.ec != std::errc{} || read.ptr != end) {
      throw ArgumentError(flag + ": found \"" + entry + "\", expected NAME=NUMBER, such as o_proj=8");
    }
    map.emplace_back(entry.substr(0, sign), number);
  }
  return map;
}

std::vector<index_t> token_ids(const std::vector<std::string>& tokens) {
  std::vector<index_t> ids;
  for (const std::string& token : tokens) {
    index_t id = 0;
    const auto read = std::from_chars(token.data(), token.data() + token.size(), id);
    expects(read.ec == std::errc{} && read.ptr == token.data() + token.size(),
            "--train-tokens: \"" + token + "\" is not an id; with a tokenizer, texts of tokens are also accepted");
    ids.push_back(id);
  }
  return ids;
}

LoraBias bias_of(const std::string& text) {
  if (text == "none") return LoraBias::none;
  if (text == "all") return LoraBias::all;
  if (text == "lora_only") return LoraBias::lora_only;
  throw ArgumentError("--bias: found \"" + text + "\", expected none, all or lora_only");
}

/// "lora, dora, adalora", of all methods.
std::string known_methods() { return joined(method_names(), ", "); }

std::string initialization_of(const std::string& text) {
  if (text == "default" || text == "true") return "true";
  if (initialization_named(text).kind != InitKind::unsupported) return text;
  throw ArgumentError("--init: \"" + text + "\" is not supported" + (known_initialization(text) ? " yet" : "") +
                      "; default, gaussian, false, orthogonal, pissa, pissa_niter_N, olora, loftq and eva are");
}

void check_numbers(const AdapterFlags& flags) {
  expects(flags.rank >= 1, "--rank: found " + std::to_string(flags.rank) + ", expected at least 1");
  expects(std::isfinite(flags.alpha), "--alpha: expected a finite number");
  expects(flags.dropout >= 0 && flags.dropout < 1, "--dropout: expected a probability of at least 0 and below 1");
}

}  // namespace

void AdapterFlags::add_to(CLI::App& command) {
  command.add_option("--method", method, known_methods() + ", or full: every weight is trained")->capture_default_str();
  command.add_option("--rank", rank, "rank of the two factors")->capture_default_str();
  command.add_option("--alpha", alpha, "B A is scaled by alpha / rank")->capture_default_str();
  command.add_option("--dropout", dropout, "dropout before A")->capture_default_str();
  command.add_flag("--rslora", rslora, "scale by alpha / sqrt(rank)");
  command.add_option("--targets", targets, "names,with,commas | all-linear | regex:PATTERN")
      ->type_name(names_type)
      ->capture_default_str();
  command.add_option("--exclude", exclude, "modules to exclude: names,with,commas | regex:PATTERN")
      ->type_name(names_type);
  command.add_option("--layers", layers, "indices of the layers to adapt, separated by commas; all by default")
      ->delimiter(',');
  command.add_option("--rank-pattern", rank_pattern, "NAME=RANK; may be repeated, the first match is used");
  command.add_option("--alpha-pattern", alpha_pattern, "NAME=ALPHA; may be repeated, the first match is used");
  command.add_option("--modules-to-save", modules_to_save, "modules trained in full, separated by commas")
      ->delimiter(',');
  command
      .add_option(
          "--train-tokens", train_tokens,
          "tokens whose embeddings are trained, separated by commas: ids, or texts of tokens; includes a tied head")
      ->delimiter(',');
  command.add_option("--bias", bias, "trained biases: none, all or lora_only")->capture_default_str();
  command
      .add_option("--init", init,
                  "initialisation: default, gaussian, false, orthogonal, pissa, pissa_niter_N, olora, loftq, eva")
      ->capture_default_str();
  command.add_option("--loftq-iter", loftq_iter, "LoftQ: rounds of quantising and correcting")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--eva-rho", eva_rho, "EVA: largest new rank of a module, as a multiple of its old rank")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str();
  each_own(*this, [&](const char* flag, auto& value, const char* name, const char* help) {
    command.add_option("--" + std::string(flag), value, std::string(name) + ": " + help)->capture_default_str();
  });
}

namespace {

/// to = from, where both are numbers.
template <class To, class From>
void assign_number(To& to, const From& from) {
  if constexpr (std::is_arithmetic_v<To> && std::is_arithmetic_v<From>) to = static_cast<To>(from);
}

}  // namespace

template <class Method>
void AdapterFlags::take_method(AdapterConfig& config, Method settings, index_t total_steps) const {
  if (method != method_name<Method>()) return;
  each_setting(settings, [&](const char*, auto& value, const char* flag, const char*) {
    if (flag == nullptr) return;
    shared(*this, flag, [&](const auto& given) { assign_number(value, given); });
  });
  if constexpr (requires { settings.fit(total_steps); }) settings.fit(total_steps);
  config.method = settings;
}

AdapterConfig AdapterFlags::config(index_t total_steps) const {
  const std::vector<std::string> known = method_names();
  if (method != "full" && std::find(known.begin(), known.end(), method) == known.end())
    throw ArgumentError("--method: \"" + method + "\" is not supported; " + known_methods() + " and full are");
  check_numbers(*this);
  AdapterConfig config;
  config.r = rank;
  config.lora_alpha = alpha;
  config.lora_dropout = dropout;
  config.use_rslora = rslora;
  config.target_modules = module_choice(targets, "--targets");
  if (!exclude.empty()) config.exclude_modules = module_choice(exclude, "--exclude");
  if (!layers.empty()) config.layers_to_transform = layers;
  config.rank_pattern = pattern_map<index_t>(rank_pattern, "--rank-pattern");
  config.alpha_pattern = pattern_map<double>(alpha_pattern, "--alpha-pattern");
  if (!modules_to_save.empty()) config.modules_to_save = modules_to_save;
  if (!train_tokens.empty()) config.trainable_token_indices = {{{"", token_ids(train_tokens)}}};
  config.bias = bias_of(bias);
  config.init_lora_weights = initialization_of(init);
  if (init == "loftq") config.loftq_config = LoftqConfig{4, loftq_iter};
  if (init == "eva") config.eva_config = EvaConfig{.rho = eva_rho};
  config.task_type = "CAUSAL_LM";
  config.use_dora = method == "dora";
  std::apply([&](auto... methods) { (take_method(config, methods, total_steps), ...); }, own);
  check(config);
  return config;
}

namespace {

std::string text_of(const ModuleChoice& choice, const std::string& none) {
  switch (choice.kind) {
    case ModuleChoice::Kind::names: return CLI::detail::join(choice.names, ",");
    case ModuleChoice::Kind::regex: return "regex:" + choice.pattern;
    case ModuleChoice::Kind::all_linear: return "all-linear";
    case ModuleChoice::Kind::none: break;
  }
  return none;
}

template <class Number>
std::vector<std::string> entries_of(const PatternMap<Number>& map) {
  std::vector<std::string> entries;
  for (const auto& [name, number] : map) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    entries.push_back(name + "=" + std::string(digits.data(), end));
  }
  return entries;
}

}  // namespace

AdapterFlags AdapterFlags::of(const AdapterConfig& config) {
  AdapterFlags flags;
  flags.rank = config.r, flags.alpha = config.lora_alpha, flags.dropout = config.lora_dropout;
  flags.rslora = config.use_rslora;
  std::visit(
      [&]<class Method>(const Method& settings) {
        if (!takes_tokens(config.method)) flags = AdapterFlags();  // LoRA's numbers mean nothing to it
        flags.method = config.use_dora ? "dora" : method_name<Method>();
        auto& to = std::get<Method>(flags.own);
        const auto take = [&](const auto& one) {
          if (one.flag != nullptr) to.*(one.member) = settings.*(one.member);
        };
        std::apply([&](const auto&... all) { (take(all), ...); }, Method::settings);
        each_setting(settings, [&](const char*, const auto& value, const char* flag, const char*) {
          if (flag != nullptr) shared(flags, flag, [&](auto& number) { assign_number(number, value); });
        });
      },
      config.method);
  flags.targets = text_of(config.target_modules, flags.targets);
  flags.exclude = text_of(config.exclude_modules, "");
  flags.layers = config.layers_to_transform.value_or(flags.layers);
  flags.rank_pattern = entries_of(config.rank_pattern), flags.alpha_pattern = entries_of(config.alpha_pattern);
  flags.modules_to_save = config.modules_to_save.value_or(flags.modules_to_save);
  flags.bias = config.bias == LoraBias::none ? "none" : config.bias == LoraBias::all ? "all" : "lora_only";
  const std::string& init = config.init_lora_weights;
  if (init != "true" && initialization_named(init).kind != InitKind::unsupported) flags.init = init;
  if (config.loftq_config) flags.loftq_iter = config.loftq_config->loftq_iter;
  if (config.eva_config) flags.eva_rho = config.eva_config->rho;
  return flags;
}

std::string whole_number(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc{} && read.ptr == end ? "" : "expected a whole number from 0 to 18446744073709551615";
}

std::int64_t peak_memory_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) * 1024;
  }
  return 0;
}

std::string readable_bytes(double bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024.0 && unit + 1 < units.size()) {
    bytes /= 1024.0;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

std::string joined(const std::vector<std::string>& values, std::string_view separator) {
  std::string text;
  for (const std::string& value : values) text.append(text.empty() ? "" : separator).append(value);
  return text;
}

}  // namespace veneer::program
