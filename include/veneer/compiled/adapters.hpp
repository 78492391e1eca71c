// SPDX-License-Identifier: Apache-2.0
/// \file adapters.hpp
/// Explicit instantiations of the operations on AnyLlama<>: reading and writing models, and attaching, merging, reading
/// and writing adapters. See veneer/compiled.hpp.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "veneer/compiled/llama.hpp"
#include "veneer/io/adapter_folder.hpp"
#include "veneer/io/llama_folder.hpp"
#include "veneer/peft/attach.hpp"
#include "veneer/peft/merge.hpp"

namespace veneer {

extern template std::vector<std::shared_ptr<site_t<AnyLlama<>>>> sites(AnyLlama<>&);
extern template AdapterPlan plan_adapter(AnyLlama<>&, const AdapterConfig&, bool);
extern template AdapterPlan attach(AnyLlama<>&, const AdapterConfig&, const AttachOptions&);
extern template AdapterPlan train_everything(AnyLlama<>&);
extern template void detach(AnyLlama<>&);
extern template Merge<AnyLlama<>> merge(AnyLlama<>&, const MergeOptions&);

extern template std::vector<std::string> read_llama_weights(AnyLlama<>&, const ShardedCheckpoint&,
                                                            const LoadLlamaOptions&);
extern template std::vector<detail::HostTensor> llama_tensors(AnyLlama<>&, Dtype);

extern template LoadedAdapter load_adapter(AnyLlama<>&, const std::filesystem::path&);
extern template AdapterPlan load_converted_adapter(AnyLlama<>&, const std::filesystem::path&, const AdapterConfig&);
extern template void write_adapter(AnyLlama<>&, const std::filesystem::path&, const AdapterConfig&, const AdapterPlan&,
                                   const LoadedAdapter*);

}  // namespace veneer
