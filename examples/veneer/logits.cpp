// SPDX-License-Identifier: Apache-2.0
/// \file logits.cpp
/// veneer logits: computes the logits of a file of token ids and writes them to a file.
///
///   in   input_ids int64 (rows, length); attention_mask int64 (rows, length), 1 then 0: right-padded; default: all 1
///   out  logits float32 (rows, length, vocabulary)
#include <memory>

#include "veneer/io/safetensors.hpp"

#include "command.hpp"
#include "session.hpp"

namespace veneer::program {

namespace {

struct LogitsFlags {
  ModelFlags model;
  std::string ids, out;
};

void read_ids(const TensorEntry& entry, index_t vocabulary, const std::string& where, PaddedBatch& batch) {
  for (const std::int64_t id : read_integers(entry)) {
    if (id < 0 || id >= vocabulary) {
      throw FormatError(where + ": input_ids: found " + std::to_string(id) + ", expected ids from 0 to " +
                        std::to_string(vocabulary - 1));
    }
    batch.ids.push_back(static_cast<std::int32_t>(id));
  }
}

/// Reads the number of valid ids of each row.
void read_mask(const TensorEntry& entry, const std::string& where, PaddedBatch& batch) {
  const std::vector<std::int64_t> mask = read_integers(entry);
  const auto length = static_cast<std::size_t>(batch.length);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    const std::size_t row = i / length;
    const bool goes_on = i % length == 0 || mask[i - 1] == 1;
    if ((mask[i] != 0 && mask[i] != 1) || (mask[i] == 1 && !goes_on)) {
      throw FormatError(where + ": attention_mask: row " + std::to_string(row) +
                        ": expected ones and then zeros; padding must be on the right");
    }
    batch.valid[row] += mask[i];
  }
}

PaddedBatch read_batch(const SafetensorsFile& file, index_t vocabulary) {
  const TensorEntry& ids = file.at("input_ids");
  if (ids.shape.size() != 2 || ids.shape[0] < 1 || ids.shape[1] < 1) {
    throw FormatError(file.where() + ": input_ids: shape " + shape_text(ids.shape) +
                      ", expected [rows, length], each at least 1");
  }
  PaddedBatch batch{ids.shape[0], ids.shape[1], {}, {}};
  read_ids(ids, vocabulary, file.where(), batch);
  const TensorEntry* mask = file.find("attention_mask");
  batch.valid.assign(static_cast<std::size_t>(batch.rows), mask == nullptr ? batch.length : 0);
  if (mask == nullptr) return batch;
  if (mask->shape != ids.shape) {
    throw FormatError(file.where() + ": attention_mask: shape " + shape_text(mask->shape) +
                      ", expected that of input_ids, " + shape_text(ids.shape));
  }
  read_mask(*mask, file.where(), batch);
  return batch;
}

int run_logits(const LogitsFlags& flags) {
  const Session session(flags.model);
  const SafetensorsFile file(flags.ids);
  const index_t vocabulary = session.config().vocab_size;
  const PaddedBatch batch = read_batch(file, vocabulary);
  const std::vector<float> logits = session.logits(batch);
  const TensorView view{"logits", Dtype::f32, {batch.rows, batch.length, vocabulary}, logits.data()};
  write_safetensors(flags.out, {view});
  note(flags.out + ": logits " + shape_text(view.shape));
  return done;
}

}  // namespace

void add_logits(CLI::App& app, Run& run) {
  const auto flags = std::make_shared<LogitsFlags>();
  CLI::App* command = app.add_subcommand("logits", "write the logits of token ids");
  flags->model.add_to(*command);
  command->add_option("--ids", flags->ids, "safetensors with input_ids (rows, length), and attention_mask")->required();
  command->add_option("--out", flags->out, "safetensors to write")->required();
  command->callback([flags, &run] { run = [flags] { return run_logits(*flags); }; });
}

}  // namespace veneer::program
