// SPDX-License-Identifier: Apache-2.0
/// \file support.hpp
/// Functions to find and compare the recorded data of tests/data, which its README.md describes.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "veneer/io/json.hpp"
#include "veneer/io/safetensors.hpp"

#include "golden/model_under_test.hpp"
#include "support/catch.hpp"

namespace veneer::testing {

inline const std::filesystem::path test_data = VENEER_TEST_DATA;

/// Returns the subfolders that contain this file, sorted by name.
inline std::vector<std::string> folders_with(const std::string& kind, std::string_view file) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test_data / kind)) {
    if (std::filesystem::exists(entry.path() / file)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline std::vector<float> floats(const TensorEntry& entry) {
  std::vector<float> values(static_cast<std::size_t>(element_count(entry)));
  read_floats(entry, values.data());
  return values;
}

/// Returns the largest difference of two lists relative to the largest expected magnitude; infinity if sizes differ or
/// a value is NaN.
inline double relative_distance(const std::vector<float>& found, const std::vector<float>& expected) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (found.size() != expected.size()) return infinite;
  double distance = 0.0, magnitude = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double apart = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (!(apart <= distance)) distance = std::isfinite(apart) ? apart : infinite;
    magnitude = std::max(magnitude, std::abs(static_cast<double>(expected[i])));
  }
  return distance == 0.0 ? 0.0 : distance / magnitude;
}

/// Returns entry `index` of recorded batches of (rows, length) tokens; without a mask there is no padding.
inline TokenBatch token_batch(const TensorEntry& ids, const TensorEntry* labels, const TensorEntry* mask,
                              index_t index = 0) {
  const std::size_t rank = ids.shape.size();
  TokenBatch batch;
  batch.rows = ids.shape[rank - 2];
  batch.length = ids.shape[rank - 1];
  const auto tokens = static_cast<std::size_t>(batch.rows * batch.length),
             first = static_cast<std::size_t>(index) * tokens;
  const std::vector<std::int64_t> all_ids = read_integers(ids);
  const std::vector<std::int64_t> all_labels = labels == nullptr ? std::vector<std::int64_t>() : read_integers(*labels);
  const std::vector<std::int64_t> all_masks = mask == nullptr ? std::vector<std::int64_t>() : read_integers(*mask);
  batch.valid.assign(static_cast<std::size_t>(batch.rows), 0);
  for (std::size_t i = 0; i < tokens; ++i) {
    const std::size_t row = i / static_cast<std::size_t>(batch.length);
    const bool last = (i + 1) % static_cast<std::size_t>(batch.length) == 0;
    batch.ids.push_back(static_cast<std::int32_t>(all_ids[first + i]));
    batch.valid[row] += mask == nullptr ? 1 : all_masks[first + i];
    batch.targets.push_back(labels == nullptr || last ? -100 : static_cast<std::int32_t>(all_labels[first + i + 1]));
  }
  return batch;
}

/// Returns the recorded case `<name>.input_ids`, `.labels`, `.attention_mask` of a model.
inline TokenBatch recorded_case(const SafetensorsFile& file, const std::string& name) {
  return token_batch(file.at(name + ".input_ids"), &file.at(name + ".labels"), &file.at(name + ".attention_mask"));
}

/// An adapter folder written by PEFT, with the recorded facts and tensors.
struct RecordedAdapter {
  std::filesystem::path folder;
  Json facts;
  SafetensorsFile tensors;
  TokenBatch batch;

  RecordedAdapter(const std::string& kind, const std::string& name)
      : folder(test_data / kind / name),
        facts(read_json(folder / "expected.json")),
        tensors(folder / "expected.safetensors"),
        batch(token_batch(tensors.at("input_ids"), nullptr, nullptr)) {}

  std::filesystem::path base() const { return test_data / json_text(facts, "base", folder.string()); }
  std::vector<float> logits() const { return floats(tensors.at("logits")); }
  std::vector<float> merged_logits() const {
    return floats(tensors.at(tensors.contains("merged_logits") ? "merged_logits" : "logits"));
  }
};

}  // namespace veneer::testing
