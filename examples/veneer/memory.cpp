// SPDX-License-Identifier: Apache-2.0
#include "memory.hpp"

#include <cstdio>

#include "veneer/io/safetensors.hpp"
#include "veneer/train/memory_plan.hpp"

#include "command.hpp"

namespace veneer::program {

namespace {

Json parts_of(const MemoryPlan& plan) {
  return {{"weights", plan.weights},     {"adapters", plan.adapters},       {"gradients", plan.gradients},
          {"optimizer", plan.optimizer}, {"activations", plan.activations}, {"scratch", plan.scratch},
          {"reused", plan.reused},       {"training", plan.training},       {"loading", plan.loading},
          {"peak", plan.peak()}};
}

bool has_weights(const std::filesystem::path& folder) {
  std::error_code error;
  return !folder.empty() && (std::filesystem::exists(folder / "model.safetensors", error) ||
                             std::filesystem::exists(folder / "model.safetensors.index.json", error));
}

std::string storage_of(const LlamaConfig& config, const MemoryRequest& request) {
  if (!request.adapter) return "float32, since they train";
  if (request.quantise) return std::string("linear layers in ") + format_name(*request.quantise);
  if (has_weights(request.model)) return "in the types of their files";
  const bool narrow = config.dtype == "bfloat16" || config.dtype == "float16";
  return narrow ? "in 16 bits" : "float32";
}

}  // namespace

LlamaConfig config_as_read(LlamaConfig config, const std::filesystem::path& folder) {
  if (config.tie_word_embeddings && has_weights(folder))
    config.tie_word_embeddings = !detail::head_differs(ShardedCheckpoint(folder));
  return config;
}

Json plan_bytes(const LlamaConfig& config, const MemoryRequest& request) {
  std::optional<ShardedCheckpoint> files;
  if (has_weights(request.model)) files.emplace(request.model);
  MemoryPlanOptions options;
  options.adapter = request.adapter;
  options.quantise = request.quantise;
  options.activations = activation_storage(request.dtype, config);
  options.batch = request.batch, options.length = request.seq, options.micro_batches = request.grad_accum;
  options.threads = request.threads;
  options.files = files ? &*files : nullptr;
  const Json without = parts_of(plan_memory(config, options));
  options.checkpointing = true;
  const Json with = parts_of(plan_memory(config, options));
  return {{"bytes", request.checkpointing ? with : without},
          {"bytes_without_checkpointing", without},
          {"bytes_with_checkpointing", with},
          {"storage", storage_of(config, request)},
          {"dtype", activation_name(options.activations)},
          {"batch", request.batch},
          {"seq", request.seq},
          {"grad_accum", request.grad_accum}};
}

std::string memory_text(const Json& plan) {
  const Json &without = plan["bytes_without_checkpointing"], &with = plan["bytes_with_checkpointing"];
  char line[160];
  std::snprintf(line, sizeof line, "memory, %lld x %lld tokens%s   without, with --checkpointing\n",
                plan["batch"].get<long long>(), plan["seq"].get<long long>(),
                plan["grad_accum"].get<index_t>() > 1 ? " a micro-batch" : "");
  std::string text = line;
  const auto row = [&](const char* name, const char* key, const std::string& note = "") {
    const auto bytes = [&](const Json& parts) { return readable_bytes(parts[key].get<double>()); };
    std::snprintf(line, sizeof line, "%-16s%12s%12s%s\n", name, bytes(without).c_str(), bytes(with).c_str(),
                  note.c_str());
    text += line;
  };
  row("weights", "weights", "   " + plan["storage"].get<std::string>());
  row("adapters", "adapters");
  row("gradients", "gradients");
  row("optimizer", "optimizer");
  row("activations", "activations", "   kept for the backward pass, in " + plan["dtype"].get<std::string>());
  row("scratch", "scratch");
  if (without["reused"].get<index_t>() + with["reused"].get<index_t>() > 0)
    row("reused", "reused", "   to be subtracted: gradients take the place of activations");
  row("training", "training");
  row("loading", "loading");
  row("peak", "peak", "   the larger one; the program itself comes on top, see veneer env");
  return text;
}

}  // namespace veneer::program
