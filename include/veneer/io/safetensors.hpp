// SPDX-License-Identifier: Apache-2.0
/// \file safetensors.hpp
/// safetensors: validated reading (`SafetensorsFile`, `ShardedCheckpoint`), decoding (`read_floats`, `read_integers`)
/// and writing as by the reference implementation (`write_safetensors`).
///
///     const SafetensorsFile file("adapter_model.safetensors");
///     for (const std::string& name : file.names()) {
///       const TensorEntry& tensor = file.at(name);
///       std::vector<float> values(static_cast<std::size_t>(element_count(tensor)));
///       read_floats(tensor, values.data());
///     }
#pragma once

#include "veneer/io/safetensors/decode.hpp"   // IWYU pragma: export
#include "veneer/io/safetensors/dtype.hpp"    // IWYU pragma: export
#include "veneer/io/safetensors/error.hpp"    // IWYU pragma: export
#include "veneer/io/safetensors/header.hpp"   // IWYU pragma: export
#include "veneer/io/safetensors/reader.hpp"   // IWYU pragma: export
#include "veneer/io/safetensors/sharded.hpp"  // IWYU pragma: export
#include "veneer/io/safetensors/writer.hpp"   // IWYU pragma: export
