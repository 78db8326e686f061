// SPDX-License-Identifier: Apache-2.0
// The interop family: caches that a real BuildKit exported. Imported here, they give every step of the same definition
// without running one; and what is exported from there reads back to the same.
#include <fstream>

#include "libsolver/images.h"
#include "libsolver/key_graph.h"
#include "libsolver/remote_cache.h"
#include "tests/golden/vector_tree.h"
#include "tests/libsolver_remote_cache/remote_cache_fixture.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using golden::json;
using golden::fs::path;

path vectors() { return cairn::test::vector_folder("interop"); }

std::vector<path> builds() {
  std::vector<path> found;
  for (const auto& entry : golden::fs::directory_iterator(vectors())) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string name_of(const ::testing::TestParamInfo<path>& info) {
  std::string name = info.param.filename().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

json document(const path& layout, const std::string& digest) {
  return json::parse(golden::read_file(layout / "blobs/sha256" / digest.substr(7)));
}

// The config of the cache in a layout, as it is written.
std::string config_of(const path& layout) {
  const json index = json::parse(golden::read_file(layout / "index.json"));
  const std::string manifest = index.at("manifests").back().at("digest");
  const std::string config = document(layout, manifest).at("config").at("digest");
  return golden::read_file(layout / "blobs/sha256" / config.substr(7));
}

std::set<std::string> digests_of(const CacheConfig& config) {
  std::set<std::string> digests;
  for (const CacheConfig::Record& record : config.records) digests.insert(record.digest);
  return digests;
}

class Interop : public ::testing::TestWithParam<path> {
 protected:
  static CacheAddress layout(const path& directory) {
    return {.type = CacheAddress::Type::local,
            .place = golden::fs::absolute(directory).lexically_normal().string(),
            .digest = {}};
  }

  void SetUp() override {
    const json context = json::parse(golden::read_file(vectors() / "local-ctx.json"));
    const path top = path(dir_.path().str()) / "ctx";
    golden::fs::create_directories(top);
    for (const json& entry : context.at("entries")) golden::make_entry(top, entry);
  }
  // Steps that ran, but for the reading of local directories, which nobody can have done before.
  static std::vector<std::string> ran(const SolveOutcome& outcome) {
    std::vector<std::string> names;
    for (const StepResult& step : outcome.steps) {
      if (step.state == StepState::executed && !step.name.starts_with("local://")) names.push_back(step.name);
    }
    return names;
  }
  void solve(Machine& machine, const CacheAddress& from) {
    Definition definition = must(load_definition(golden::read_file(GetParam() / "definition.pb")));
    machine.locals = {{"ctx", dir_ / "ctx"}};
    machine.solve(std::move(definition), {from});
    EXPECT_EQ(machine.import_error, "");
    EXPECT_EQ(ran(machine.outcome), std::vector<std::string>());
  }

  test::TempDir dir_;
};

TEST_P(Interop, what_BuildKit_exported_is_found_and_handed_on) {
  for (const std::string mode : {"min", "max"}) {
    SCOPED_TRACE(mode);
    const path theirs = GetParam() / ("cache-" + mode), ours = path(dir_.path().str()) / ("ours-" + mode);
    const CacheConfig exported = must(parse_cache_config(config_of(theirs)));
    Machine here(nullptr), there(nullptr);
    solve(here, layout(theirs));
    ASSERT_TRUE(here.outcome.result);
    must(here.fetch());

    const auto export_mode = mode == "min" ? ExportOptions::Mode::min : ExportOptions::Mode::max;
    EXPECT_GT(must(here.export_to(layout(ours), export_mode)).new_blobs, 0u);
    EXPECT_EQ(must(here.export_to(layout(ours), export_mode)).new_blobs, 0u) << "what is there is not written again";
    const std::string text = config_of(ours);
    const CacheConfig again = must(parse_cache_config(text));
    EXPECT_EQ(again.json(), text);
    const std::set<std::string> known = digests_of(exported), handed_on = digests_of(again);
    EXPECT_TRUE(std::includes(known.begin(), known.end(), handed_on.begin(), handed_on.end())) << text;
    solve(there, layout(ours));
  }
}
// The front end's part of the image, as BuildKit has it; what steps are called in a history differs.
std::string front_end_part(const path& layout, const std::string& manifest) {
  json config = document(layout, document(layout, manifest).at("config").at("digest"));
  config.erase("rootfs");
  config.erase("created");
  for (json& entry : config.at("history")) entry.erase("created");
  return config.dump();
}

TEST_P(Interop, the_image_of_a_result_is_BuildKits_to_the_byte) {
  const std::string name = GetParam().filename().string();
  Machine machine(nullptr);
  solve(machine, layout(GetParam() / "cache-max"));
  for (const std::string compression : {"uncompressed", "gzip"}) {
    SCOPED_TRACE(compression);
    const path theirs = GetParam() / (compression == "gzip" ? "oci" : "oci-uncompressed");
    const path ours = path(dir_.path().str()) / compression;
    const std::string index = golden::read_file(theirs / "index.json");
    const json listed = json::parse(index).at("manifests").at(0);
    ImageExport order;
    OutputAttributes attributes = {{"type", "oci"},
                                   {"tar", "false"},
                                   {"dest", ours.string()},
                                   {"compression", compression},
                                   {"force-compression", "true"},
                                   {"rewrite-timestamp", "true"},
                                   {"source-date-epoch", "1600000000"}};
    if (compression == "gzip") attributes.emplace("name", "example.com/vec:" + name);
    order.output = must(parse_image_output(attributes));
    ImageToExport image;
    image.platform.os = "linux";
    image.platform.architecture = "amd64";
    image.result = machine.outcome.result;
    image.config = front_end_part(theirs, listed.at("digest"));
    order.images.push_back(std::move(image));
    const ImagesExported exported = must(machine.solver().export_images(order, {}));
    // Compressed bytes are another library's; the config names the uncompressed ones.
    const auto manifest = document(theirs, listed.at("digest"));
    EXPECT_EQ(exported.images.at(0).config.str(), manifest.at("config").at("digest").get<std::string>())
        << golden::read_file(ours / "blobs/sha256" / exported.images.at(0).config.hex());
    if (compression == "gzip") {
      const json named = json::parse(golden::read_file(ours / "index.json")).at("manifests").at(0);
      EXPECT_EQ(named.at("annotations"), listed.at("annotations"));
      continue;
    }
    EXPECT_EQ(exported.root->digest.str(), listed.at("digest").get<std::string>())
        << golden::read_file(ours / "blobs/sha256" / exported.root->digest.hex());
    EXPECT_EQ(golden::read_file(ours / "index.json"), index);
  }
}
INSTANTIATE_TEST_SUITE_P(golden, Interop, ::testing::ValuesIn(builds()), name_of);

}  // namespace
}  // namespace cairn::solver
