// SPDX-License-Identifier: Apache-2.0
// The cachekeys family: scripts for BuildKit's chain builder. Where BuildKit is not deterministic, any of the variants
// that it was seen to write is right.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iomanip>

#include "libbase/hash/sha256.h"
#include "libsolver/cache_chains.h"
#include "tests/golden/vector_tree.h"

namespace cairn::solver {
namespace {

using golden::fs::path;
using golden::json;

path vectors() {
  const char* given = std::getenv("CAIRN_VECTORS");
  return (given != nullptr ? path(given) : path(CAIRN_SOURCE_DIR) / "tests/golden") / "cachekeys";
}

std::string name_of(const ::testing::TestParamInfo<path>& info) {
  std::string name = info.param.stem().string();
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

std::vector<path> scripts() {
  std::vector<path> found;
  for (const auto& entry : golden::fs::directory_iterator(vectors())) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".json") && name.starts_with("chains-")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string blob_of(const std::string& layer) { return "sha256:" + base::to_hex(base::sha256(layer)); }

base::WallTime time_of(const std::string& text) {
  std::tm parts{};
  std::istringstream in(text);
  in >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
  CHECK(!in.fail(), "time {}", text);
  return base::from_unix_ns(static_cast<std::int64_t>(timegm(&parts)) * 1'000'000'000);
}

// Everything that would have been right.
std::vector<json> variants(const json& of, const std::string& name) {
  std::vector<json> all;
  if (of.contains(name)) all.push_back(of.at(name).is_null() ? json::object() : of.at(name));
  for (const auto& [key, value] : of.items()) {
    if (!key.starts_with("all_") || !value.is_array()) continue;
    for (const json& each : value) all.push_back(each.is_object() && each.contains("config") ? each.at("config") : each);
  }
  for (json& each : all) {
    if (each.is_string()) each = json::parse(each.get<std::string>());
  }
  return all;
}

void expect_one_of(const json& got, const std::vector<json>& wanted, const std::string& what) {
  for (const json& each : wanted) {
    if (each == got) return;
  }
  ADD_FAILURE() << what << ": got\n" << got.dump(1) << "\nwanted (first of " << wanted.size() << ")\n"
                << (wanted.empty() ? "nothing" : wanted.front().dump(1));
}

class ChainVectors : public ::testing::TestWithParam<path> {};

TEST_P(ChainVectors, are_built_alike) {
  const json script = json::parse(golden::read_file(GetParam()));
  CacheChains chains;
  std::vector<std::optional<CacheChains::Record>> added;
  for (const json& add : script.at("adds")) {
    std::vector<std::vector<CacheChains::Source>> inputs;
    bool foreign = false;  // a source that was not accepted itself
    for (const json& dep : add.value("deps", json::array())) {
      auto& sources = inputs.emplace_back();
      for (const json& source : dep) {
        const auto& record = added.at(source.at("src").get<std::size_t>());
        foreign = foreign || !record;
        if (record) sources.push_back({*record, source.value("selector", "")});
      }
    }
    std::vector<ChainResult> results;
    for (const json& result : add.value("results", json::array())) {
      ChainResult& made = results.emplace_back();
      made.created = time_of(result.at("created_at"));
      if (!result.at("layers").is_null()) {
        for (const json& layer : result.at("layers")) made.layers.push_back(blob_of(layer));
      }
    }
    const auto record = chains.add(add.at("digest"), inputs, std::move(results));
    EXPECT_EQ(record && *record, add.at("accepted").get<bool>()) << add.dump();
    if (!foreign) {
      EXPECT_EQ(!record, add.contains("error")) << add.dump();
    }
    added.push_back(record ? *record : std::nullopt);
    if (add.contains("returned_same_record_as")) {
      EXPECT_EQ(added.back(), added.at(add.at("returned_same_record_as").get<std::size_t>())) << add.dump();
    }
  }
  const std::string text = chains.config().json();
  expect_one_of(json::parse(text), variants(script, "config"), script.at("name"));
  if (script.value("stable_over_200_runs", false)) {
    EXPECT_EQ(base::to_hex(base::sha256(text)), script.at("config_compact_json_sha256").get<std::string>()) << text;
  }
}
INSTANTIATE_TEST_SUITE_P(golden, ChainVectors, ::testing::ValuesIn(scripts()), name_of);

}  // namespace
}  // namespace cairn::solver
