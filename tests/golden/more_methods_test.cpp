// SPDX-License-Identifier: Apache-2.0
/// Adapter folders of further methods that PEFT wrote: logits, counts, merged logits, and the folder written back. A
/// method is checked here by a folder in adapters-more.
#include "veneer/peft/init.hpp"

#include "golden/support.hpp"
#include "support/temporary_folder.hpp"

namespace more_methods_test {

namespace fs = std::filesystem;
using namespace veneer;
using namespace veneer::testing;

namespace {

std::vector<std::string> recorded_adapters() { return folders_with("adapters-more", "expected.safetensors"); }

}  // namespace

TEST_CASE("adapters of further methods give PEFT's logits and counts, and merging changes neither") {
  REQUIRE(recorded_adapters().size() == 8);
  for (const std::string& name : recorded_adapters()) {
    INFO(name);
    const RecordedAdapter recorded("adapters-more", name);
    ModelUnderTest model(recorded.base());
    model.widen();
    const AdapterPlan plan = model.load_adapter(recorded.folder);
    CHECK(plan.warnings.empty());
    CHECK(plan.trainable() == json_integer(recorded.facts, "trainable", name));
    CHECK(plan.all() == json_integer(recorded.facts, "all", name));
    CHECK(relative_distance(model.logits(recorded.batch), recorded.logits()) < 1e-5);
    const auto before = model.stored();
    CHECK_FALSE(model.merge().empty());
    CHECK(relative_distance(model.logits(recorded.batch), recorded.merged_logits()) < 1e-5);
    model.unmerge();
    CHECK(model.stored() == before);
  }
}

TEST_CASE("an adapter of a further method that is read and written again gives the same bytes") {
  for (const std::string& name : recorded_adapters()) {
    INFO(name);
    const RecordedAdapter recorded("adapters-more", name);
    const TemporaryFolder temporary;
    ModelUnderTest model(recorded.base());
    model.load_adapter(recorded.folder);
    model.save_adapter(temporary / "again");
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json"}) {
      INFO(file);
      CHECK(file_bytes(temporary / "again" / file) == file_bytes(recorded.folder / file));
    }
  }
}

}  // namespace more_methods_test
